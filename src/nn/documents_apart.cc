#include <algorithm>
#include <bit>
#include <map>

#include "engine/engine.h"
#include "nn/positions.h"
#include "nn/sequence_mixer.h"

namespace rebased {
namespace {

using Document = Layout::Document;

// Documents that run as the rows of one batch.
struct Group {
  std::vector<const Document*> documents;
  int64_t tokens = 0;     // of the longest
  bool stateful = false;  // all have this length, and begin or end in a row's state
};

bool is_last(const Layout& layout, size_t i) {
  const std::vector<Document>& all = layout.documents();
  return i + 1 == all.size() || all[i + 1].row != all[i].row;
}

// Those that meet a state with others of their length, the rest with others that are less than twice as long: what
// stands behind a document reaches no token of it.
std::vector<Group> groups_of(const Layout& layout, bool has_state) {
  std::map<std::pair<bool, int64_t>, Group> groups;
  for (size_t i = 0; i < layout.documents().size(); ++i) {
    const Document& d = layout.documents()[i];
    const bool stateful = has_state && (d.continues || is_last(layout, i));
    const auto length = static_cast<uint64_t>(d.length);
    Group& group = groups[{stateful, static_cast<int64_t>(stateful ? length : std::bit_ceil(length))}];
    group.documents.push_back(&d);
    group.tokens = std::max(group.tokens, d.length);
    group.stateful = stateful;
  }
  std::vector<Group> all;
  for (auto& [key, group] : groups) all.push_back(std::move(group));
  return all;
}

// The group's tokens of x [B, T, C]: [documents, tokens, C].
Value tokens_of_group(const Value& x, const Group& group) {
  const int64_t T = x.size(1), C = x.size(2), n = static_cast<int64_t>(group.documents.size());
  std::vector<int64_t> rows;
  for (const Document* d : group.documents) {
    for (int64_t t = 0; t < group.tokens; ++t) rows.push_back(d->row * T + d->begin + std::min(t, d->length - 1));
  }
  return reshape(select_rows(reshape(x, Shape({x.size(0) * T, C})), rows), Shape({n, group.tokens, C}));
}

Layout prefixes_of(const Group& group) {
  std::vector<int64_t> prefixes;
  for (const Document* d : group.documents) prefixes.push_back(d->prefix);
  return Layout::whole(static_cast<int64_t>(prefixes.size()), group.tokens).with_prefixes(prefixes);
}

// The states that the group's documents begin from.
MixerState start_of(const Group& group, const MixerState& state) {
  std::vector<int64_t> rows, fresh;
  for (size_t i = 0; i < group.documents.size(); ++i) {
    rows.push_back(group.documents[i]->row);
    if (!group.documents[i]->continues) fresh.push_back(static_cast<int64_t>(i));
  }
  MixerState start = state.select(rows);
  if (!fresh.empty()) start.reset_rows(fresh);
  return start;
}

// Outputs of all groups back to where their tokens were; zeros for padding.
class Outputs {
 public:
  explicit Outputs(const Layout& layout)
      : T_(layout.tokens()), places_(static_cast<size_t>(layout.rows() * layout.tokens()), -1) {}

  void add(const Group& group, const Value& y) {
    for (size_t i = 0; i < group.documents.size(); ++i) {
      const Document& d = *group.documents[i];
      for (int64_t t = 0; t < d.length; ++t) {
        places_[static_cast<size_t>(d.row * T_ + d.begin + t)] = rows_ + static_cast<int64_t>(i) * group.tokens + t;
      }
    }
    const int64_t n = y.size(0) * y.size(1);
    parts_.push_back(reshape(y, Shape({n, y.size(2)})));
    rows_ += n;
  }

  Value joined(const Value& like) {
    parts_.push_back(like.engine().full(Shape({1, like.size(2)}), like.dtype(), 0));
    for (int64_t& place : places_) place = place < 0 ? rows_ : place;
    return reshape(select_rows(concat(parts_, 0), places_), like.shape());
  }

 private:
  int64_t T_, rows_ = 0;
  std::vector<int64_t> places_;
  std::vector<Value> parts_;
};

// The states of the last document of every row; the former one where a row has none.
class FinalStates {
 public:
  explicit FinalStates(const Layout& layout) : places_(static_cast<size_t>(layout.rows()), -1) {
    for (size_t i = 0; i < layout.documents().size(); ++i) {
      if (is_last(layout, i)) last_.push_back(&layout.documents()[i]);
    }
  }

  void add(const Group& group, MixerState state) {
    for (size_t i = 0; i < group.documents.size(); ++i) {
      const Document* d = group.documents[i];
      if (std::find(last_.begin(), last_.end(), d) != last_.end())
        places_[static_cast<size_t>(d->row)] = rows_ + static_cast<int64_t>(i);
    }
    rows_ += state.batch();
    parts_.push_back(std::move(state));
  }

  MixerState joined(const MixerState& before) {
    for (size_t row = 0; row < places_.size(); ++row) {
      if (places_[row] < 0) places_[row] = rows_ + static_cast<int64_t>(row);
    }
    parts_.push_back(before);
    return MixerState::join(parts_).select(places_);
  }

 private:
  std::vector<const Document*> last_;
  std::vector<int64_t> places_;
  std::vector<MixerState> parts_;
  int64_t rows_ = 0;
};

}  // namespace

MixerOutput SequenceMixer::run_apart(const Value& x, const Context& ctx, MixerState* state) {
  const Layout& layout = *ctx.layout;
  Outputs outputs(layout);
  FinalStates finals(layout);
  MixerOutput all;
  uint64_t index = 0;
  for (const Group& group : groups_of(layout, state != nullptr)) {
    const Layout prefixes = prefixes_of(group);
    Context inner = ctx;
    inner.layout = layout.has_prefix() ? &prefixes : nullptr;
    inner.outputs.clear();
    inner.dropout_key = derive_key(ctx.dropout_key, path_, index++);
    MixerState own;
    if (group.stateful) own = start_of(group, *state);
    const MixerOutput output = forward(tokens_of_group(x, group), inner, group.stateful ? &own : nullptr);
    outputs.add(group, output.y);
    if (output.aux_loss) all.aux_loss = all.aux_loss ? add(all.aux_loss, output.aux_loss) : output.aux_loss;
    if (group.stateful) finals.add(group, std::move(own));
  }
  all.y = outputs.joined(x);
  if (!ctx.outputs.empty()) all.y = tokens_of(all.y, ctx.outputs);
  if (state != nullptr) *state = finals.joined(*state);
  return all;
}

}  // namespace rebased
