// Samples drawn from distributions, as `neural_fx/networks/autoregressive/sampling.py` defines them.
#pragma once

#include <algorithm>
#include <cmath>

#include "../simd.hpp"

namespace NFX_ARCH {

constexpr float LEAST_UNIFORM = 1e-5f;
constexpr float LEAST_LOG_SCALE = -8.0f;
constexpr float NEVER = -1e30f;  // logit of a class that is not drawn

// Where the logits of classes stand: each lane has neighbouring classes. So sums over all classes before one are sums
// of vectors, and only W sums of whole lanes remain.
struct ClassLayout {
    int classes;
    int per_lane;

    explicit ClassLayout(int classes) : classes(classes), per_lane((classes + W - 1) / W) {}
    int wide() const { return per_lane * W; }
    int place(int o) const { return o % per_lane * W + o / per_lane; }
};

inline float largest(const float* x, int wide) {
    vec top = load(x);
    for (int i = W; i < wide; i += W) top = vmax(top, load(x + i));
    float most = top[0];
    for (int i = 1; i < W; ++i) most = std::max(most, top[i]);
    return most;
}

// Return the first of the likeliest classes.
inline int likeliest_class(const ClassLayout& layout, const float* logits) {
    const float most = largest(logits, layout.wide());
    for (int o = 0; o < layout.classes; ++o)
        if (logits[layout.place(o)] == most) return o;
    return 0;
}

// Return the first class whose cumulative probability is above a number from 0 to 1. `logits` are overwritten.
inline int draw_class(const ClassLayout& layout, float* logits, float uniform, float temperature) {
    if (temperature <= 0) return likeliest_class(layout, logits);
    const float most = largest(logits, layout.wide());
    const float steepness = 1.0f / temperature;
    vec sum{};
    for (int i = 0; i < layout.wide(); i += W) {
        sum += vexp((load(logits + i) - most) * steepness);
        store(logits + i, sum);
    }
    float before[W + 1];
    before[0] = 0;
    for (int lane = 0; lane < W; ++lane) before[lane + 1] = before[lane] + sum[lane];
    const float wanted = uniform * before[W];
    int lane = 0;
    while (lane < W - 1 && before[lane + 1] <= wanted) ++lane;
    const int first = lane * layout.per_lane;
    int i = 0;
    while (i < layout.per_lane - 1 && before[lane] + logits[i * W + lane] <= wanted) ++i;
    return std::min(first + i, layout.classes - 1);
}

// Return a sample of a mixture of logistics. parameters: logits, means, logarithms of scales.
inline float draw_logistic(const float* parameters, int mixtures, float choice, float uniform, float temperature) {
    const float* last = parameters + mixtures;
    int chosen = int(std::max_element(parameters, last) - parameters);
    if (temperature > 0) {
        const float most = parameters[chosen];
        float total = 0;
        for (int i = 0; i < mixtures; ++i) total += std::exp(parameters[i] - most);
        const float wanted = choice * total;
        float sum = 0;
        for (chosen = 0; chosen < mixtures - 1; ++chosen) {
            sum += std::exp(parameters[chosen] - most);
            if (sum > wanted) break;
        }
    }
    const float mean = parameters[mixtures + chosen];
    const float scale = std::exp(std::max(parameters[2 * mixtures + chosen], LEAST_LOG_SCALE));
    const float u = std::clamp(uniform, LEAST_UNIFORM, 1 - LEAST_UNIFORM);
    const float value = mean + std::max(temperature, 0.0f) * scale * (std::log(u) - std::log1p(-u));
    return std::clamp(value, -1.0f, 1.0f);
}

}  // namespace NFX_ARCH
