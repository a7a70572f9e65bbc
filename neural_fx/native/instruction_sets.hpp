// The choice of kernels at run time: by what the processor and the operating system support.
#pragma once

#include <string>
#include <vector>

#include "nets.hpp"

namespace nfx {

// Return the kernels of an instruction set. "" stands for the fastest one that may be used.
// Throws std::invalid_argument if this machine lacks the set, or the environment variable excludes it.
const Kernels& kernels(const std::string& instruction_set = "");

// Return the names of the instruction sets that may be used, fastest first.
std::vector<std::string> instruction_sets();

}  // namespace nfx
