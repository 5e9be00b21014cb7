#pragma once

#include "golden/golden_check.h"

namespace rebased::testing {

// Each checks one kind of golden and reports through GoogleTest.
void check_rebased_op(const Golden& golden);
void check_based_op(const Golden& golden);
void check_elu_op(const Golden& golden);
void check_carried_state_op(const Golden& golden);
void check_retention_op(const Golden& golden);
void check_gla_op(const Golden& golden);
void check_simple_gla_op(const Golden& golden);
void check_rwkv6_op(const Golden& golden);
void check_softmax_op(const Golden& golden);
void check_short_conv_op(const Golden& golden);
void check_rebased_feature_map(const Golden& golden);

void check_rebased_module(const Golden& golden);
void check_fla_rebased_module(const Golden& golden);
void check_based_module(const Golden& golden);
void check_zoology_based_module(const Golden& golden);
void check_fla_linear_attention_module(const Golden& golden);
void check_retnet_module(const Golden& golden);
void check_torchscale_retnet_module(const Golden& golden);
void check_base_conv_module(const Golden& golden);
void check_gated_conv_module(const Golden& golden);
void check_attention_module(const Golden& golden);
void check_sliding_module(const Golden& golden);
void check_fla_attention_module(const Golden& golden);
void check_mlp_module(const Golden& golden);
void check_glu_module(const Golden& golden);
void check_swiglu_module(const Golden& golden);

void check_language_model(const Golden& golden);
void check_training_run(const Golden& golden);

void check_mqar_data(const Golden& golden);
void check_haystack_data(const Golden& golden);

}  // namespace rebased::testing
