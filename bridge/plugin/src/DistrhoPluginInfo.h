// The framework's settings of the three plugins. NFX_INPUTS and NFX_OUTPUTS say which one is built.
#pragma once

#define DISTRHO_PLUGIN_BRAND "Neural FX"
#define DISTRHO_PLUGIN_NUM_INPUTS NFX_INPUTS
#define DISTRHO_PLUGIN_NUM_OUTPUTS NFX_OUTPUTS

#if NFX_INPUTS == 0
#define DISTRHO_PLUGIN_NAME "Neural Instrument"
#define DISTRHO_PLUGIN_URI "urn:neural-fx:instrument"
#define DISTRHO_PLUGIN_CLAP_ID "neural-fx.instrument"
#define DISTRHO_PLUGIN_IS_SYNTH 1
#define DISTRHO_PLUGIN_WANT_MIDI_INPUT 1
#define DISTRHO_PLUGIN_LV2_CATEGORY "lv2:InstrumentPlugin"
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Instrument|Synth"
#define DISTRHO_PLUGIN_CLAP_FEATURES "instrument", "synthesizer", "stereo"
#else
#if NFX_INPUTS == 1
#define DISTRHO_PLUGIN_NAME "Neural FX Mono"
#define DISTRHO_PLUGIN_URI "urn:neural-fx:effect-mono"
#define DISTRHO_PLUGIN_CLAP_ID "neural-fx.effect-mono"
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx|Mono"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect", "distortion", "mono"
#else
#define DISTRHO_PLUGIN_NAME "Neural FX"
#define DISTRHO_PLUGIN_URI "urn:neural-fx:effect"
#define DISTRHO_PLUGIN_CLAP_ID "neural-fx.effect"
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx|Stereo"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect", "distortion", "stereo"
#endif
#define DISTRHO_PLUGIN_IS_SYNTH 0
#define DISTRHO_PLUGIN_LV2_CATEGORY "lv2:SimulatorPlugin"
#endif

#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_WANT_LATENCY 1
#define DISTRHO_PLUGIN_WANT_STATE 1
#define DISTRHO_PLUGIN_WANT_FULL_STATE 1
#ifndef DISTRHO_PLUGIN_HAS_UI
#define DISTRHO_PLUGIN_HAS_UI 0
#endif
