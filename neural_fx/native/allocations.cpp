#include "allocations.hpp"

#if defined(__linux__)
// Weak symbols are null unless a library that is loaded before this one defines them.
extern "C" {
[[gnu::weak, gnu::visibility("default")]] size_t neural_fx_allocations();
[[gnu::weak, gnu::visibility("default")]] size_t neural_fx_blocks_held();
}
#endif

namespace nfx {

std::optional<size_t> allocations() {
#if defined(__linux__)
    if (neural_fx_allocations) return neural_fx_allocations();
#endif
    return std::nullopt;
}

std::optional<size_t> blocks_held() {
#if defined(__linux__)
    if (neural_fx_blocks_held) return neural_fx_blocks_held();
#endif
    return std::nullopt;
}

}  // namespace nfx
