// Flushing denormals to zero, which are many times slower than other numbers.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace nfx {

// Flush denormals to zero while in scope; the caller's mode comes back afterwards.
class NoDenormals {
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();

public:
    NoDenormals() { _mm_setcsr(before | 0x8040); }
    ~NoDenormals() { _mm_setcsr(before); }
#elif defined(__aarch64__)
    unsigned long before;

public:
    NoDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" ::"r"(before | (1ul << 24)));
    }
    ~NoDenormals() { asm volatile("msr fpcr, %0" ::"r"(before)); }
#else
public:
    NoDenormals() {}
#endif
    NoDenormals(const NoDenormals&) = delete;
    NoDenormals& operator=(const NoDenormals&) = delete;
};

}  // namespace nfx
