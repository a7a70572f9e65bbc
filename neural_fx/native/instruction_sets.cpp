#include "instruction_sets.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(NFX_AMX) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#if defined(__x86_64__)
namespace sse2 { extern const nfx::Kernels kernels; }
namespace avx2 { extern const nfx::Kernels kernels; }
namespace avx512 { extern const nfx::Kernels kernels; }
#if defined(NFX_AMX)
namespace amx { extern const nfx::Kernels kernels; }
#endif
#else
namespace generic { extern const nfx::Kernels kernels; }
#endif

namespace nfx {
namespace {

#if defined(NFX_AMX)
// Return whether the processor has matrix units for bfloat16, and this process may use them.
// Linux saves their large registers only for processes that have asked for it.
bool has_matrix_units() {
#if defined(__linux__) && defined(SYS_arch_prctl)
    constexpr unsigned amx_tile = 1u << 24;
    constexpr unsigned amx_bf16 = 1u << 22;
    constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long tile_data = 18;               // XFEATURE_XTILEDATA
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    if ((edx & (amx_tile | amx_bf16)) != (amx_tile | amx_bf16)) return false;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}
#endif

// Return the kernels that this machine can run, fastest first.
std::vector<const Kernels*> find_kernels() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#if defined(NFX_AMX)
    if (has_avx512 && has_matrix_units()) found.push_back(&amx::kernels);
#endif
    if (has_avx512) found.push_back(&avx512::kernels);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::kernels);
    found.push_back(&sse2::kernels);
#else
    found.push_back(&generic::kernels);
#endif
    return found;
}

// Drop the kernels above the instruction set that NEURAL_FX_INSTRUCTION_SET names, if it names one.
std::vector<const Kernels*> limited(std::vector<const Kernels*> found) {
    const char* limit = std::getenv("NEURAL_FX_INSTRUCTION_SET");
    if (limit == nullptr || *limit == 0) return found;
    const auto is_limit = [limit](const Kernels* candidate) { return std::string(candidate->name) == limit; };
    const auto first = std::find_if(found.begin(), found.end(), is_limit);
    if (first != found.end()) found.erase(found.begin(), first);
    return found;
}

// The environment variable is read once, so that all streams of a process use the same kernels.
const std::vector<const Kernels*>& usable_kernels() {
    static const std::vector<const Kernels*> usable = limited(find_kernels());
    return usable;
}

}  // namespace

const Kernels& kernels(const std::string& instruction_set) {
    for (const Kernels* candidate : usable_kernels())
        if (instruction_set.empty() || instruction_set == candidate->name) return *candidate;
    throw std::invalid_argument("this machine does not have the instruction set " + instruction_set);
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels* candidate : usable_kernels()) names.emplace_back(candidate->name);
    return names;
}

}  // namespace nfx
