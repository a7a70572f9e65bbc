// A stereo gain with 100 samples of latency: the smallest VST3 that shows whether a host keeps time.
#pragma once
#define DISTRHO_PLUGIN_BRAND "Neural FX tests"
#define DISTRHO_PLUGIN_NAME "Late Gain"
#define DISTRHO_PLUGIN_URI "urn:neural-fx:tests:late-gain"
#define DISTRHO_PLUGIN_CLAP_ID "neural-fx.tests.late-gain"
#define DISTRHO_PLUGIN_NUM_INPUTS 2
#define DISTRHO_PLUGIN_NUM_OUTPUTS 2
#define DISTRHO_PLUGIN_WANT_LATENCY 1
#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_HAS_UI 0
