// Counts of C++ allocations. Only tests have them: they preload a library that replaces operator new and counts.
#pragma once

#include <cstddef>
#include <optional>

namespace nfx {

// Return the allocations of the calling thread so far.
std::optional<size_t> allocations();

// Return the number of blocks of memory that are in use.
std::optional<size_t> blocks_held();

}  // namespace nfx
