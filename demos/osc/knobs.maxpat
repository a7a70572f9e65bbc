{
 "patcher": {
  "fileversion": 1,
  "appversion": {
   "major": 8,
   "minor": 5,
   "revision": 0
  },
  "classnamespace": "box",
  "rect": [
   60,
   60,
   560,
   360
  ],
  "boxes": [
   {
    "box": {
     "id": "c",
     "maxclass": "comment",
     "patching_rect": [
      20,
      10,
      420,
      22
     ],
     "text": "neural-fx serve --board lead=demos/osc/board.yaml --media DIR"
    }
   },
   {
    "box": {
     "id": "k0",
     "maxclass": "live.dial",
     "patching_rect": [
      20,
      50,
      44,
      48
     ],
     "varname": "drive",
     "parameter_enable": 1,
     "saved_attribute_attributes": {
      "valueof": {
       "parameter_longname": "drive",
       "parameter_shortname": "drive",
       "parameter_type": 0,
       "parameter_mmin": 0.0,
       "parameter_mmax": 1.0,
       "parameter_unitstyle": 1
      }
     }
    }
   },
   {
    "box": {
     "id": "p0",
     "maxclass": "newobj",
     "patching_rect": [
      20,
      110,
      150,
      22
     ],
     "text": "prepend /lead/ts/drive"
    }
   },
   {
    "box": {
     "id": "k1",
     "maxclass": "live.dial",
     "patching_rect": [
      180,
      50,
      44,
      48
     ],
     "varname": "tone",
     "parameter_enable": 1,
     "saved_attribute_attributes": {
      "valueof": {
       "parameter_longname": "tone",
       "parameter_shortname": "tone",
       "parameter_type": 0,
       "parameter_mmin": 0.0,
       "parameter_mmax": 1.0,
       "parameter_unitstyle": 1
      }
     }
    }
   },
   {
    "box": {
     "id": "p1",
     "maxclass": "newobj",
     "patching_rect": [
      180,
      110,
      150,
      22
     ],
     "text": "prepend /lead/ts/tone"
    }
   },
   {
    "box": {
     "id": "k2",
     "maxclass": "live.dial",
     "patching_rect": [
      340,
      50,
      44,
      48
     ],
     "varname": "level",
     "parameter_enable": 1,
     "saved_attribute_attributes": {
      "valueof": {
       "parameter_longname": "level",
       "parameter_shortname": "level",
       "parameter_type": 0,
       "parameter_mmin": 0.0,
       "parameter_mmax": 1.0,
       "parameter_unitstyle": 1
      }
     }
    }
   },
   {
    "box": {
     "id": "p2",
     "maxclass": "newobj",
     "patching_rect": [
      340,
      110,
      150,
      22
     ],
     "text": "prepend /lead/ts/level"
    }
   },
   {
    "box": {
     "id": "b",
     "maxclass": "toggle",
     "patching_rect": [
      20,
      150,
      24,
      24
     ]
    }
   },
   {
    "box": {
     "id": "bp",
     "maxclass": "newobj",
     "patching_rect": [
      20,
      185,
      150,
      22
     ],
     "text": "prepend /lead/bypass"
    }
   },
   {
    "box": {
     "id": "r",
     "maxclass": "button",
     "patching_rect": [
      180,
      150,
      24,
      24
     ]
    }
   },
   {
    "box": {
     "id": "rm",
     "maxclass": "message",
     "patching_rect": [
      180,
      185,
      200,
      22
     ],
     "text": "/render in.wav out.wav lead"
    }
   },
   {
    "box": {
     "id": "send",
     "maxclass": "newobj",
     "patching_rect": [
      20,
      240,
      170,
      22
     ],
     "text": "udpsend 127.0.0.1 9000"
    }
   },
   {
    "box": {
     "id": "rec",
     "maxclass": "newobj",
     "patching_rect": [
      240,
      240,
      120,
      22
     ],
     "text": "udpreceive 9001"
    }
   },
   {
    "box": {
     "id": "print",
     "maxclass": "newobj",
     "patching_rect": [
      240,
      275,
      100,
      22
     ],
     "text": "print worker"
    }
   }
  ],
  "lines": [
   {
    "patchline": {
     "source": [
      "k0",
      0
     ],
     "destination": [
      "p0",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "p0",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "k1",
      0
     ],
     "destination": [
      "p1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "p1",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "k2",
      0
     ],
     "destination": [
      "p2",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "p2",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "b",
      0
     ],
     "destination": [
      "bp",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "bp",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "r",
      0
     ],
     "destination": [
      "rm",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "rm",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "rec",
      0
     ],
     "destination": [
      "print",
      0
     ]
    }
   }
  ]
 }
}