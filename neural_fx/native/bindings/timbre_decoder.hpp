// The decoder of a timbre, as Python holds it.
#pragma once

#include <memory>

#include "nets.hpp"

struct TimbreDecoder {
    int hidden;
    int harmonics;
    int bands;
    // It has one scratch memory, so it is for one thread at a time. Voices keep it alive.
    std::shared_ptr<nfx::Decoder> decoder;
};
