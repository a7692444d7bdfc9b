// The commands of `shoal`. Each returns the exit code and throws Error when it cannot go on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/session.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::cli {

/// Where a text comes from: an argument, a file, or standard input ("-", or a pipe and nothing
/// else given).
struct TextSource {
    std::optional<std::string> argument;
    std::string file;
};

struct RunOptions {
    std::string model;
    TextSource prompt;
    mesh::messages::Sampling sampling;
    std::optional<std::uint64_t> seed;  ///< nothing: a random one
    std::uint32_t max_tokens = 0;
    std::vector<std::string> stop;
    bool ignore_eos = false;
};
int run(const Common& common, const RunOptions& options);

struct StatusOptions {
    std::optional<double> watch_seconds;  ///< nothing: once
};
int status(const Common& common, const StatusOptions& options);

struct PlanOptions {
    std::string model;    ///< a GGUF file; empty: the shape that the file describes
    std::string what_if;  ///< a TOML file
};
int plan(const Common& common, const PlanOptions& options);

int models(const Common& common);
int load(const Common& common, const std::string& model);

struct BenchOptions {
    bool show = false;  ///< measure nothing
};
int bench(const Common& common, const BenchOptions& options);

struct TokenizeOptions {
    std::string model;
    TextSource text;
    bool no_special = false;
    bool no_parse_special = false;
    bool ids_only = false;
};
int tokenize(const Common& common, const TokenizeOptions& options);

struct DetokenizeOptions {
    std::string model;
    std::vector<std::string> ids;  ///< empty: from standard input
};
int detokenize(const Common& common, const DetokenizeOptions& options);

int key_new(const Common& common, const std::string& file);
int key_fingerprint(const Common& common, const std::string& file);

/// The text of a source, without the one newline that ends a file or a pipe. `what` names it in
/// messages. Throws Error(kUsage) when there is none, when it is empty or larger than a prompt
/// may be.
std::string read_text(const TextSource& source, const std::string& what);
/// A model as the daemon wants it: a name, or an absolute path when the user named a file.
/// Throws Error(kNotFound) for a path to nothing.
std::string model_name(const std::string& given);

}  // namespace shoal::cli
