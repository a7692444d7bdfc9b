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

/// How the tokens of an answer are chosen, where it ends, and when its turn is.
struct AnswerOptions {
    mesh::messages::Sampling sampling;
    std::optional<std::uint64_t> seed;  ///< nothing: a random one
    std::uint32_t max_tokens = 0;       ///< 0: until the model ends
    std::vector<std::string> stop;
    std::int32_t priority = 0;  ///< the lower, the earlier
};

struct RunOptions {
    std::string model;
    TextSource prompt;
    AnswerOptions answer;
    bool ignore_eos = false;
    bool raw = false;        ///< go on from the prompt, also with a chat model
    bool chat_only = false;  ///< of `chat`: a model that is none is refused, and little is said
    std::string system;      ///< of a chat model; empty: none
    std::string schema;      ///< a file; empty: none
    bool stats = false;
};
int run(const Common& common, const RunOptions& options);

struct ChatOptions {
    std::string model;  ///< empty: the daemon's default
    AnswerOptions answer;
    std::string system;
    bool stats = false;  ///< after each answer
};
/// A conversation at a terminal; from a pipe one message, which is answered.
int chat(const Common& common, const ChatOptions& options);

struct StatusOptions {
    std::optional<double> watch_seconds;  ///< nothing: once
};
int status(const Common& common, const StatusOptions& options);

struct PlanOptions {
    std::string model;    ///< as of `run`; with a file: a GGUF file, or empty: what it describes
    std::string what_if;  ///< a TOML file; empty: of the cluster
    std::uint32_t devices = 0;  ///< show the best plan for so many; 0: the one that is chosen
};
int plan(const Common& common, const PlanOptions& options);

struct ModelsOptions {
    bool fits = false;  ///< ask for each whether the cluster can hold it
};
int models(const Common& common, const ModelsOptions& options);

struct AddOptions {
    std::string what;  ///< a GGUF file, any of a split model's, a folder of them, or a web address
    bool move = false, link = false;
    std::string sha256;  ///< of the one file at the address; empty: not known
};
/// Puts models into this device's first folder of models.
int add(const Common& common, const AddOptions& options);
/// Removes one from there.
int rm(const Common& common, const std::string& name);
int load(const Common& common, const std::string& model);
int unload(const Common& common, const std::string& model);

struct BenchOptions {
    bool show = false;  ///< measure nothing
    std::string model;  ///< on the cluster; empty: this device, without a model
    std::uint32_t prompt = 512, answer = 128, runs = 3;
};
int bench(const Common& common, const BenchOptions& options);
/// Of a model on the cluster.
int model_bench(Common common, const BenchOptions& options);

struct DoctorOptions {
    std::string config;      ///< the daemon's settings; empty: where it looks by itself
    std::string root = "/";  ///< of the files that tell of the system
    std::string version;     ///< of this program
    bool fix = false;        ///< do what is harmless
};
/// 0: no problems; 1: some, which were told.
int run_doctor(const Common& common, const DoctorOptions& options);

struct LogsOptions {
    bool follow = false;
    std::optional<std::uint32_t> lines;
    std::string since;
};
/// The daemon's log, by journalctl in place of this process.
int logs(const Common& common, const LogsOptions& options);

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

struct InviteOptions {
    bool no_qr = false;
};
int invite(const Common& common, const InviteOptions& options);

struct JoinOptions {
    std::string invitation;  ///< empty or "-": a line of standard input
};
int join(const Common& common, const JoinOptions& options);
int leave(const Common& common);

int devices(const Common& common);
int devices_rename(const Common& common, const std::string& device, const std::string& name);
int devices_forget(const Common& common, const std::string& device);

int key_new(const Common& common, const std::string& file);
int key_fingerprint(const Common& common, const std::string& file);

/// The text of a source, without the one newline that ends a file or a pipe. `what` names it in
/// messages. Throws Error(kUsage) when there is none, when it is empty or larger than a prompt
/// may be.
std::string read_text(const TextSource& source, const std::string& what);
/// A file's bytes. Throws Error(kUsage) naming it when it cannot be read or is larger than `limit`.
std::string read_file(const std::string& file, std::size_t limit);
/// A JSON schema from a file. Throws Error(kUsage) naming the file when it cannot be read, is too
/// large or is no JSON.
std::string read_schema(const std::string& file);
/// The request that asks for such an answer; the model and what is asked are left to the caller.
mesh::messages::Generate request_for(const AnswerOptions& options);
/// A model as the daemon wants it: a name, or an absolute path when the user named a file.
/// Throws Error(kNotFound) for a path to nothing.
std::string model_name(const std::string& given);

}  // namespace shoal::cli
