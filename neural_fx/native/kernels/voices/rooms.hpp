// The reverb of timbres.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "../sequential.hpp"
#include "smooth_value.hpp"
#include "voice_interfaces.hpp"

namespace NFX_ARCH {

// The rooms of one timbre, or of two that are morphed, with a level.
class Rooms {
    static constexpr int BLOCK_SIZE = 256;

    std::vector<std::unique_ptr<SequentialStream>> rooms;  // null: no reverb
    SmoothValue level;
    SmoothValue morph;
    float answers[2][BLOCK_SIZE] = {};

    static std::unique_ptr<SequentialStream> open(const std::vector<float>& response) {
        if (response.empty()) return nullptr;
        nfx::Stage stage;
        stage.conv = {1, 1, int(response.size()), 1, std::vector<float>(response.rbegin(), response.rend()), {}};
        nfx::Sequential net;
        net.stages.push_back(std::move(stage));
        auto stream = std::make_unique<SequentialStream>(net);
        stream->reset();
        return stream;
    }

public:
    Rooms(const std::vector<nfx::VoiceModel>& models, double level, double morph, int samples)
        : level(level, samples), morph(morph, samples) {
        for (const nfx::VoiceModel& model : models) rooms.push_back(open(model.room));
    }

    // Add the room to n samples, in place.
    void process(float* audio, int n, double level_goal, double morph_goal) {
        if (n == 0) return;
        level.aim(level_goal);
        morph.aim(morph_goal);
        for (int start = 0; start < n; start += BLOCK_SIZE) {
            const int count = std::min(BLOCK_SIZE, n - start);
            float* x = audio + start;
            for (size_t m = 0; m < rooms.size(); ++m) {
                if (rooms[m])
                    rooms[m]->process(x, size_t(count), answers[m], BLOCK_SIZE, count);
                else
                    std::fill_n(answers[m], count, 0.0f);
            }
            for (int i = 0; i < count; ++i) {
                const float share = morph.next();
                float room = answers[0][i];
                if (rooms.size() == 2) room += share * (answers[1][i] - room);
                x[i] += level.next() * room;
            }
        }
    }
};

}  // namespace NFX_ARCH
