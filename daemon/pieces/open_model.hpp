// A model as this device has it open.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "daemon/model/hparams.hpp"
#include "daemon/model/piece.hpp"
#include "daemon/model/tokenizer.hpp"
#include "daemon/pieces/lazy_templates.hpp"
#include "daemon/pieces/lazy_vocabulary.hpp"
#include "mesh/wire/identity.hpp"

namespace shoal {

/// A model that this device can read: the file, or shipped pieces of it.
struct OpenModel {
    mesh::ModelHash hash;
    std::string name;
    model::Hparams hparams;
    std::unique_ptr<const model::WeightSource> source;
    std::unique_ptr<const model::Tokenizer> tokenizer;  ///< null where nobody tokenises
    LazyVocabulary vocabulary;                          ///< of the tokenizer
    LazyTemplates templates;                            ///< of its conversations
    mutable std::once_flag built_in_told;               ///< that the file has no chat template
};

}  // namespace shoal
