// Compiled once per instruction set; NFX_ARCH is its name.
#include <algorithm>
#include <utility>

#include "recurrent.hpp"
#include "wavenet.hpp"

#define NFX_STRING2(x) #x
#define NFX_STRING(x) NFX_STRING2(x)

namespace NFX_ARCH {
static std::unique_ptr<nfx::Stream> wavenet(const nfx::WaveNet& net) { return std::make_unique<WaveNetStream>(net); }
static std::unique_ptr<nfx::Stream> sequential(const nfx::Sequential& net) { return std::make_unique<SequentialStream>(net); }
static std::unique_ptr<nfx::Stream> recurrent(const nfx::Recurrent& net) { return std::make_unique<RecurrentStream>(net); }
extern const nfx::Kernels kernels;
const nfx::Kernels kernels{NFX_STRING(NFX_ARCH), &wavenet, &sequential, &recurrent};
}  // namespace NFX_ARCH
