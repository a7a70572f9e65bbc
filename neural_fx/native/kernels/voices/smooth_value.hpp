// A value that moves to its target in a straight line, as neural_fx.parameters.Ramp does.
#pragma once

#include <algorithm>

namespace NFX_ARCH {

class SmoothValue {
    double target;
    double step = 0;
    double value;
    float rounded;
    int length;
    int left = 0;

public:
    SmoothValue(double start, int steps)
        : target(start), value(start), rounded(float(start)), length(std::max(1, steps)) {}

    // Begin to move from the current value.
    void aim(double goal) {
        if (goal == target) return;
        target = goal;
        left = length;
        step = (target - value) / length;
    }
    bool moves() const { return left > 0; }
    // The value after one more step. It is computed from the end and not summed up, so that block sizes make no
    // difference.
    float next() {
        if (left > 0) {
            --left;
            value = left > 0 ? target - step * left : target;
            rounded = float(value);
        }
        return rounded;
    }
    float now() const { return rounded; }
};

}  // namespace NFX_ARCH
