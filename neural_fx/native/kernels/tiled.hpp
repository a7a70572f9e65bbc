// WaveNets on the matrix units of x86-64 servers (AMX). They multiply bfloat16 and add in float32, 16 times as many
// products per cycle as vectors do.
//
// Each number goes in as two bfloat16, its upper half and the rest, so four products stand for one. Together the two
// halves keep 17 of float32's 24 bits, and the sums keep all.
//
// Channels lie side by side, and time goes down. A row has the lanes of one vector: 16 channels of one sample, 8 of
// two, 4 of four, or 2 of eight. Other widths are padded with zeros. Each lane has both halves of a number, so a row
// of lanes is a row of the left matrix. The right matrix has the weights. If a row has several samples, they stand in
// blocks on its diagonal.
#pragma once

#include "modulation.hpp"
#include "rows.hpp"

#if defined(NFX_AMX)
#include "tiled/arrays.hpp"
#else

namespace NFX_ARCH {

// Other instruction sets have no matrix units, so this supports no network.
struct TiledArrays {
    static bool supports(const nfx::WaveNet&) { return false; }
    TiledArrays(const nfx::WaveNet&, bool) {}
    int step() const { return BLOCK; }
    void reset() {}
    void fold(const float*) {}
    void process(const float*, Rows, int, const Modulation&) {}
};

}  // namespace NFX_ARCH

#endif
