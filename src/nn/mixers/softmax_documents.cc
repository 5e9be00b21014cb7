// Softmax attention over rows that hold several documents, or padding.

#include <algorithm>

#include "engine/engine.h"
#include "nn/mixers/softmax_mixer.h"

namespace rebased {
namespace {

int64_t read_by(const MixerState* state, int64_t row) {
  return state != nullptr ? state->positions[static_cast<size_t>(row)] : 0;
}

// old [B, S] and added [B, T], row by row: [B, S + T].
std::vector<int64_t> joined_rows(const std::vector<int64_t>& old, const std::vector<int64_t>& added, int64_t B) {
  const size_t S = old.size() / static_cast<size_t>(B), T = added.size() / static_cast<size_t>(B);
  std::vector<int64_t> all;
  for (size_t b = 0; b < static_cast<size_t>(B); ++b) {
    all.insert(all.end(), old.begin() + static_cast<long>(b * S), old.begin() + static_cast<long>((b + 1) * S));
    all.insert(all.end(), added.begin() + static_cast<long>(b * T), added.begin() + static_cast<long>((b + 1) * T));
  }
  return all;
}

Value joined_time(const Value& old, const Value& added) {
  const Value parts[] = {old, added};
  return concat(parts, 1);
}

// For each row the slots, of `cached` and behind them T new ones, that its last document goes on from.
std::vector<std::vector<int64_t>> slots_kept(const Layout& layout, const std::vector<int64_t>& positions,
                                             int64_t cached) {
  const int64_t S = cached + layout.tokens();
  std::vector<std::vector<int64_t>> kept(static_cast<size_t>(layout.rows()));
  const auto keep = [&](int64_t row, int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      if (positions[static_cast<size_t>(row * S + slot)] >= 0) kept[static_cast<size_t>(row)].push_back(slot);
    }
  };
  for (int64_t row = 0; row < layout.rows(); ++row) keep(row, 0, cached);
  for (const Layout::Document& d : layout.documents()) {
    if (!d.continues) kept[static_cast<size_t>(d.row)].clear();
    keep(d.row, cached + d.begin, cached + d.begin + d.length);
  }
  return kept;
}

// The given slots of x [B, S, ...], those of row b from slot first[b] on of `slots`; anything in the others.
Value gathered(const Value& x, const std::vector<std::vector<int64_t>>& kept, const std::vector<int64_t>& first,
               int64_t slots) {
  const int64_t B = x.size(0), S = x.size(1);
  std::vector<int64_t> rows(static_cast<size_t>(B * slots), 0);
  for (int64_t b = 0; b < B; ++b) {
    const auto& own = kept[static_cast<size_t>(b)];
    for (size_t i = 0; i < own.size(); ++i)
      rows[static_cast<size_t>(b * slots + first[static_cast<size_t>(b)]) + i] = b * S + own[i];
  }
  const Value flat = reshape(x, Shape({B * S, x.shape().numel() / (B * S)}));
  return reshape(select_rows(flat, rows), x.shape().with(1, slots));
}

}  // namespace

SoftmaxMixer::Places SoftmaxMixer::places_in(const Layout& layout, const MixerState* state) const {
  Places at;
  at.position =
      layout.positions(state != nullptr ? std::span<const int64_t>(state->positions) : std::span<const int64_t>());
  at.place = at.first = at.last = std::vector<int64_t>(at.position.size(), -1);
  for (const Layout::Document& d : layout.documents()) {
    const int64_t before = read_by(state, d.row), begin = d.continues ? 0 : before + d.begin;
    for (int64_t t = d.begin; t < d.begin + d.length; ++t) {
      const auto i = static_cast<size_t>(d.row * layout.tokens() + t);
      at.place[i] = before + t;
      at.first[i] = window_ > 0 ? std::max(begin, before + t - window_ + 1) : begin;
      const int64_t end = before + d.begin + d.length - 1;
      at.last[i] = options_.causal ? before + std::max(t, d.begin + d.prefix - 1)
                   : window_ > 0   ? std::min(end, before + t + window_ - 1)
                                   : end;
    }
  }
  return at;
}

SoftmaxMixer::Keys SoftmaxMixer::remember_documents(MixerState& state, const Value& k, const Value& v,
                                                    const Layout& layout, const Places& at) const {
  Engine& engine = k.engine();
  const int64_t B = layout.rows(), cached = state["k"].size(1);
  std::vector<int64_t> old(static_cast<size_t>(B * cached));
  engine.to_host(state["key_pos"], old.data(), DType::kI64);
  Keys keys{joined_time(state["k"], k), joined_time(state["v"], v), joined_rows(old, at.position, B),
            joined_rows(old, at.place, B)};

  std::vector<std::vector<int64_t>> kept = slots_kept(layout, keys.position, cached);
  size_t most = 0;
  for (const auto& own : kept) most = std::max(most, own.size());
  const int64_t slots = state_arrays(static_cast<int64_t>(most)).front().shape[0];
  std::vector<int64_t> first, positions(static_cast<size_t>(B * slots), -1);
  for (int64_t b = 0; b < B; ++b) {
    std::vector<int64_t>& own = kept[static_cast<size_t>(b)];
    if (static_cast<int64_t>(own.size()) > slots) own.erase(own.begin(), own.end() - slots);
    first.push_back(first_slot(static_cast<int64_t>(own.size()), slots));
    for (size_t i = 0; i < own.size(); ++i) {
      positions[static_cast<size_t>(b * slots + first.back()) + i] =
          keys.position[static_cast<size_t>(b * keys.k.size(1) + own[i])];
    }
  }
  state["k"] = gathered(keys.k, kept, first, slots);
  state["v"] = gathered(keys.v, kept, first, slots);
  state["key_pos"] = engine.from_host(positions.data(), DType::kI64, Shape({B, slots}), DType::kI64);
  return keys;
}

}  // namespace rebased
