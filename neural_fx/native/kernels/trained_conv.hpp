// Convolutions in training: forward, back to their inputs, and the gradient of their weights.
#pragma once

#include <algorithm>
#include <vector>

#include "packed_conv.hpp"

namespace NFX_ARCH {

// Sums over time of products of rows: the gradient of a matrix is sum_t a(t) b(t)^T.
class Outer {
    nfx::Buffer sums;  // a vector for each (row, column), added up only in `total`
    int m = 0;
    int n = 0;

    template <int M, int N>
    void tile(Rows a, Rows b, int i, int j, int count) {
        vec acc[M][N];
        for (int p = 0; p < M; ++p)
            for (int q = 0; q < N; ++q) acc[p][q] = load(at(i + p, j + q));
        for (int t = 0; t < count; t += W) {
            vec x[M], y[N];
#pragma GCC unroll 4
            for (int p = 0; p < M; ++p) x[p] = load(a.row(i + p) + t);
#pragma GCC unroll 4
            for (int q = 0; q < N; ++q) y[q] = load(b.row(j + q) + t);
#pragma GCC unroll 4
            for (int p = 0; p < M; ++p)
#pragma GCC unroll 4
                for (int q = 0; q < N; ++q) acc[p][q] += x[p] * y[q];
        }
        for (int p = 0; p < M; ++p)
            for (int q = 0; q < N; ++q) store(at(i + p, j + q), acc[p][q]);
    }
    template <int M>
    void strip(Rows a, Rows b, int i, int count) {
        int j = 0;
        for (; j + 4 <= n; j += 4) tile<M, 4>(a, b, i, j, count);
        for (; j < n; ++j) tile<M, 1>(a, b, i, j, count);
    }
    float* at(int i, int j) { return sums.get() + (size_t(i) * n + j) * W; }

public:
    Outer() = default;
    Outer(int m, int n) : sums(size_t(m) * n * W), m(m), n(n) {}
    void clear() { sums.clear(); }
    void add(Rows a, Rows b, int count) {
        int i = 0;
        for (; i + 4 <= m; i += 4) strip<4>(a, b, i, count);
        for (; i < m; ++i) strip<1>(a, b, i, count);
    }
    float total(int i, int j) {
        float sum = 0;
        for (int k = 0; k < W; ++k) sum += at(i, j)[k];
        return sum;
    }
};

// A convolution in training: packed for both directions, its gradient, and its place in the flat list of weights.
struct Trained {
    nfx::Conv spec;
    size_t place = 0;
    Packed forward{nfx::Conv{}};
    Packed backward{nfx::Conv{}};
    std::vector<Outer> taps;
    Outer bias;

    Trained() = default;
    Trained(const nfx::Conv& conv, size_t& at) : spec(conv), place(at), bias(conv.out, 1) {
        at += spec.weight.size() + spec.bias.size();
        for (int k = 0; k < spec.taps; ++k) taps.emplace_back(spec.out, spec.in);
    }
    bool exists() const { return spec.out > 0; }

    // Load the weights of a window, and clear the gradient.
    void load(const float* parameters, const nfx::Conv* joined = nullptr) {
        if (!exists()) return;
        const float* p = parameters + place;
        std::copy(p, p + spec.weight.size(), spec.weight.begin());
        std::copy(p + spec.weight.size(), p + spec.weight.size() + spec.bias.size(), spec.bias.begin());
        forward = Packed(spec, joined);
        // The gradient of a causal convolution is a convolution that looks ahead: inputs and outputs change places, and
        // the taps are in reverse order. `to_input` moves its base pointer by the history.
        nfx::Conv turned{spec.in, spec.out, spec.taps, spec.dilation, std::vector<float>(spec.weight.size()), {}};
        for (int o = 0; o < spec.out; ++o)
            for (int i = 0; i < spec.in; ++i)
                for (int k = 0; k < spec.taps; ++k)
                    turned.weight[(size_t(i) * spec.out + o) * spec.taps + spec.taps - 1 - k] =
                        spec.weight[(size_t(o) * spec.in + i) * spec.taps + k];
        backward = Packed(turned);
        for (auto& t : taps) t.clear();
        bias.clear();
    }

    int history() const { return (spec.taps - 1) * spec.dilation; }

    // g = add + the gradient of the input, from the gradient `out` of the output. Reads `out` up to `history` ahead.
    void to_input(Rows out, Rows g, int n, const Rows* add) const {
        conv(backward, {out.p + history(), out.stride}, g, n, add);
    }

    // Add a block to the gradient of the weights.
    void gather(Rows gradient, Rows input, Rows ones, int n) {
        for (int k = 0; k < spec.taps; ++k)
            taps[k].add(gradient, {input.p - ptrdiff_t(spec.taps - 1 - k) * spec.dilation, input.stride}, n);
        if (!spec.bias.empty()) bias.add(gradient, ones, n);
    }

    void store_gradient(float* gradients) {
        float* g = gradients + place;
        for (int o = 0; o < spec.out; ++o)
            for (int i = 0; i < spec.in; ++i)
                for (int k = 0; k < spec.taps; ++k) *g++ = taps[k].total(o, i);
        for (size_t o = 0; o < spec.bias.size(); ++o) *g++ = bias.total(int(o), 0);
    }
};

}  // namespace NFX_ARCH
