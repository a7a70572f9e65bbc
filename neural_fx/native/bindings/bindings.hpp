// What the files of bindings share: arrays as Python passes them, and the functions that module.cpp calls.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>

// An array in the CPU's memory, without gaps. Const types also accept read-only arrays.
template <class T, size_t Dimensions>
using CpuArray = nanobind::ndarray<T, nanobind::ndim<Dimensions>, nanobind::c_contig, nanobind::device::cpu>;

void register_descriptions(nanobind::module_& m);  // plain data of networks
void register_networks(nanobind::module_& m);      // networks and their streams
void register_training(nanobind::module_& m);      // windows with gradients
void register_timbre(nanobind::module_& m);        // pitch, decoder and synthesis
void register_voices(nanobind::module_& m);        // timbres that follow an input or play notes
void register_generators(nanobind::module_& m);    // networks that play sample by sample
void register_loop(nanobind::module_& m);          // live audio without the interpreter
