#pragma once

#include <string>

namespace rebased {

// Writes the model folder `from`, whose weights are whole, as the folder `to` with its matrices packed as `weights`
// says (bf16, int8 or int4), in place of a model folder or an empty folder that may be there, whose other files stay; a
// tokenizer.json goes along. Throws ConfigError for another name, for a folder that is packed already, for a folder
// onto itself and for one that is a checkpoint, IoError and FormatError.
void convert_model(const std::string& from, const std::string& weights, const std::string& to);

}  // namespace rebased
