// A value that moves to its target along a straight line.
#pragma once

#include <cstdint>

namespace nfx {

class Ramp {
    float value = 0;
    float target = 0;
    float step = 0;
    std::uint32_t frames_left = 0;

public:
    void jump(float to) {
        value = to;
        target = to;
        frames_left = 0;
    }
    // Does nothing if the ramp already moves there: hosts repeat their values with every block.
    void aim(float to, std::uint32_t frames) {
        if (to == target) return;
        target = to;
        frames_left = frames;
        step = (to - value) / float(frames);
    }
    float next() {
        if (!frames_left) return value;
        --frames_left;
        value = frames_left ? value + step : target;  // ends on the target exactly, without rounding errors
        return value;
    }
};

}  // namespace nfx
