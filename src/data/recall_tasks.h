#pragma once

#include <cstdint>
#include <string>

#include "config/limits.h"
#include "config/options.h"
#include "data/task.h"

// Relatives of MQAR (mqar.h). All have keys in [1, vocab_size / 2), values in [vocab_size / 2, vocab_size), blank 0, an
// even seq_len < vocab_size, and expect the answer at the query itself. Every generate throws ConfigError naming the
// option, and but for the haystack's generator "numpy", fewer examples are a prefix of more.
namespace rebased {

// The options that they share.
struct RecallOptions {
  int64_t vocab_size = 8192;
  int64_t seq_len = 64;
  int64_t pairs = 4;
  bool random_fill = false;

  template <class V>
  void visit(V& v) {
    v("vocab_size", vocab_size, "number of ids: 0 is the blank, the lower half are keys, the upper half values",
      between(4, kMostRecallIds));
    v("seq_len", seq_len, "tokens of an example, even", between(4, kMostTokens));
    v("pairs", pairs, "key-value pairs of the context", between(1, kMostTokens));
    v("random_fill", random_fill, "replace blanks by uniform ids");
  }
};

// Associative recall: `queries` of the keys, at places drawn uniformly from all that follow the context.
//
//           key val key val key val | the tail: queries anywhere
//   inputs  8 13  5 10  4 11  0  0  0  0  8  0  5  0  0  0
//   labels  .  .  .  .  .  .  .  .  .  . 13  . 10  .  .  .      (vocab_size 20, seq_len 16, pairs 3, queries 2, seed 0)
//
// queries 1 is the task of the older literature. Source: associative_recall of corl-team/rebased, but the published
// labels stand one position before their queries, where no causal model can know them; ours stand at the query, as its
// text says. Needs 2 * pairs + queries <= seq_len and queries <= pairs.
struct AssociativeRecallOptions : RecallOptions {
  int64_t queries = 1;

  template <class V>
  void visit(V& v) {
    RecallOptions::visit(v);
    v("queries", queries, "how many of the keys are asked, once each", between(1, kMostTokens));
  }
};
TaskData generate(const AssociativeRecallOptions& options, int64_t examples, uint64_t seed);

// MQAR in a haystack: the pairs at a depth of a document of blanks (or of uniform ids), all queries at its very end, in
// random order.
//
//           blanks   key val key val key val | blanks | every key
//   inputs  0  0  0  7 16  2 18  8 19  0  0  0  0  2  8  7
//   labels  .  .  .  .  .  .  .  .  .  .  .  .  . 18 19 16      (vocab_size 20, seq_len 16, pairs 3, depth 0.5, seed 1)
//
// int((seq_len - 3 * pairs) * depth) blanks stand before the pairs. Source: multiquery_ar_in_haystack of
// corl-team/rebased; generator "numpy" draws as it does. Needs 3 * pairs <= seq_len.
struct HaystackOptions : RecallOptions {
  double depth = 0;
  std::string generator = "fast";

  template <class V>
  void visit(V& v) {
    RecallOptions::visit(v);
    v("depth", depth, "where the pairs stand: 0 first, 1 just before the queries", between(0, 1));
    v("generator", generator, "numpy: the published draws; fast: the same distribution", one_of({"numpy", "fast"}));
  }
};
TaskData generate(const HaystackOptions& options, int64_t examples, uint64_t seed);

// MQAR with forgetting: after the pairs, `updates` of the keys are bound again, each to a value that differs from its
// first one. Every key is asked once, and the answer is its latest value.
//
//           key val key val key val key new | query area: slots of two tokens
//   inputs  7 16  2 18  8 19  8 10  7  0  8  0  0  0  2  0
//   labels  .  .  .  .  .  .  .  . 16  . 10  .  .  . 18  .      (vocab_size 20, seq_len 16, pairs 3, updates 1, seed 1)
//
// Source: forgetting_mqar of HazyResearch/zoology, which may draw the old value again. Several keys may share a new
// value. Needs updates <= pairs and 2 * (pairs + updates) + 2 * pairs <= seq_len.
struct ForgettingOptions : RecallOptions {
  int64_t updates = 2;
  double power = 0.01;

  template <class V>
  void visit(V& v) {
    RecallOptions::visit(v);
    v("updates", updates, "how many of the keys get a second value", between(0, kMostTokens));
    v("power", power, "exponent of the law of the query places: 1 is uniform, near 0 soon after the context",
      between(1e-6, 10));
  }
};
TaskData generate(const ForgettingOptions& options, int64_t examples, uint64_t seed);

// Compositional MQAR: a value is bound to two keys together. side first keys and side second keys make side^2 pairs, so
// that neither key alone tells the value; context and queries are in random order.
//
//           k1 k2 val, four times             | query area: slots of three tokens, the answer at k2
//   inputs  8 13 25  5 10 26  8 10 21  5 13 20  8 10  0  5 10  0  0  0  0  5 13  0  0  0  0  8 13  0
//   labels  .  .  .  .  .  .  .  .  .  .  .  .  . 21  .  . 26  .  .  .  .  . 20  .  .  .  .  . 25  .
//   (vocab_size 31, seq_len 30, side 2, seed 0)
//
// The vocabulary is in thirds: first keys in [1, V / 3), second keys in [V / 3, 2 (V / 3)), values above. Source:
// compositional_mqar of HazyResearch/zoology. Needs 6 * side^2 <= seq_len.
struct CompositionalOptions {
  int64_t vocab_size = 8192;
  int64_t seq_len = 64;
  int64_t side = 2;
  double power = 0.01;
  bool random_fill = false;

  template <class V>
  void visit(V& v) {
    v("vocab_size", vocab_size, "number of ids, in thirds: blank and first keys, second keys, values",
      between(7, kMostRecallIds));
    v("seq_len", seq_len, "tokens of an example, even", between(6, kMostTokens));
    v("side", side, "number of first keys and of second keys; side^2 bindings, each asked once",
      between(1, kMostTokens));
    v("power", power, "exponent of the law of the query places: 1 is uniform, near 0 soon after the context",
      between(1e-6, 10));
    v("random_fill", random_fill, "replace blanks by uniform ids");
  }
};
TaskData generate(const CompositionalOptions& options, int64_t examples, uint64_t seed);

}  // namespace rebased
