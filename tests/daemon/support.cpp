#include "tests/daemon/support.hpp"

#include <utility>

#include "daemon/pieces/catalogue.hpp"

namespace shoal::tests {
namespace {

const std::filesystem::path& folder() {
    static const TemporaryFolder made;
    return made.folder;
}

ModelShape tiny_shape() {
    ModelShape shape;
    shape.dim = 64;
    shape.n_heads = 4;
    shape.n_kv_heads = 2;
    shape.head_dim = 16;
    shape.n_ff = 128;
    shape.n_vocab = 320;
    shape.n_context = 1024;
    return shape;
}

std::filesystem::path made(const ModelShape& shape, const std::string& name) {
    const auto path = folder() / (name + ".gguf");
    make_model(shape, path);
    return path;
}

}  // namespace

mesh::DeviceId device_id(std::uint8_t number) {
    mesh::DeviceId id;
    id.bytes[0] = number;
    return id;
}

mesh::Member other_device(std::uint8_t number) {
    mesh::Member member;
    member.id = device_id(number);
    member.description.name.assign("device ").append(std::to_string(number));
    member.description.speed = 1;
    member.description.data_endpoint = "tcp://*:4000";
    member.address.assign("10.0.0.").append(std::to_string(number));
    return member;
}

const std::filesystem::path& tiny_model() {
    static const auto path = made(tiny_shape(), "tiny");
    return path;
}

const std::filesystem::path& other_model() {
    static const auto path = [] {
        ModelShape shape = tiny_shape();
        shape.seed = 2;
        return made(shape, "other");
    }();
    return path;
}

const std::filesystem::path& wide_model() {
    static const auto path = [] {
        ModelShape shape = tiny_shape();
        shape.n_layers = 1;
        shape.n_vocab = 40'000;
        shape.rope_freqs = true;
        return made(shape, "wide");
    }();
    return path;
}

const std::filesystem::path& typed_model(const std::string& type) {
    static std::map<std::string, std::filesystem::path> paths;
    auto& path = paths[type];
    if (path.empty()) {
        ModelShape shape;
        shape.type = type;
        shape.n_ff = 512;
        shape.n_vocab = 320;
        shape.rope_freqs = true;
        path = made(shape, "typed-" + type);
    }
    return path;
}

const std::filesystem::path& long_model() {
    static const auto path = [] {
        ModelShape shape = tiny_shape();
        shape.n_context = 60'000;
        return made(shape, "long");
    }();
    return path;
}

const std::filesystem::path& other_long_model() {
    static const auto path = [] {
        ModelShape shape = tiny_shape();
        shape.n_context = 60'000;
        shape.seed = 2;
        return made(shape, "other-long");
    }();
    return path;
}

std::shared_ptr<const OpenModel> open_model(const std::filesystem::path& path) {
    Catalogue catalogue(folder());
    return Catalogue::open(catalogue.add(path));
}

mesh::PlanId plan_id(std::uint32_t number) {
    return {{1, device_id(1)}, number};
}

PlanSpec solo_spec(std::shared_ptr<const OpenModel> model, mesh::PlanId id,
                   std::uint64_t positions) {
    const model::Hparams& hp = model->hparams;
    PlanSpec spec;
    spec.id = id;
    spec.slices = {{{0, hp.n_heads}, {0, hp.n_kv_heads}, {0, hp.n_ff}, {0, hp.n_vocab}}};
    spec.peers = {{device_id(1), {}, "tcp://self:1"}};
    spec.options.kv_type = kernels::KvType::f32;
    spec.options.collectives = exec::PayloadType::f32;
    spec.options.kv_positions = positions;
    spec.model = std::move(model);
    return spec;
}

mesh::messages::Generate greedy(const std::string& prompt, std::uint32_t max_tokens) {
    mesh::messages::Generate request;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0;
    request.ignore_eos = true;
    return request;
}

Job job_of(JobId id, mesh::messages::Generate request) {
    Job job;
    job.id = id;
    job.request = std::move(request);
    job.queued_at = Clock::now();
    return job;
}

std::vector<std::int32_t> Story::ids() const {
    std::vector<std::int32_t> out;
    for (const auto& event : events) {
        if (const auto* token = std::get_if<mesh::messages::Token>(&event))
            out.push_back(token->id);
    }
    return out;
}

std::string Story::text() const {
    std::string out;
    for (const auto& event : events) {
        if (const auto* token = std::get_if<mesh::messages::Token>(&event)) out += token->text;
        if (const auto* last = std::get_if<mesh::messages::Done>(&event)) out += last->text;
    }
    return out;
}

bool Story::numbered() const {
    std::uint32_t next = 0;
    for (const auto& event : events) {
        const auto* token = std::get_if<mesh::messages::Token>(&event);
        if (token != nullptr && token->index != next++) return false;
    }
    return true;
}

std::size_t Story::finals() const {
    std::size_t count = 0;
    for (const auto& event : events) count += mesh::messages::is_final(event) ? 1 : 0;
    return count;
}

const mesh::messages::Done* Story::done() const {
    return events.empty() ? nullptr : std::get_if<mesh::messages::Done>(&events.back());
}

const mesh::messages::Failed* Story::failed() const {
    return events.empty() ? nullptr : std::get_if<mesh::messages::Failed>(&events.back());
}

void Recorder::add(std::uint64_t job, const mesh::messages::Event& event) {
    const std::lock_guard lock(mutex_);
    stories_[job].events.push_back(event);
}

Story Recorder::story(std::uint64_t job) const {
    const std::lock_guard lock(mutex_);
    const auto it = stories_.find(job);
    return it == stories_.end() ? Story() : it->second;
}

void Recorder::clear() {
    const std::lock_guard lock(mutex_);
    stories_.clear();
}

bool eventually(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace shoal::tests
