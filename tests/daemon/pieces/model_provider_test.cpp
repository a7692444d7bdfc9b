#include "daemon/pieces/model_provider.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/daemon/small_daemon.hpp"

namespace model_provider_test {

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::messages;

namespace {

const mesh::DeviceId kHolder = device_id(2);

// This device has no file; device 2 announces one and answers from it.
struct Fixture {
    std::unique_ptr<SmallDaemon> node;
    std::shared_ptr<const OpenModel> file;
    CatalogueEntry entry;
    struct Result {
        std::shared_ptr<const OpenModel> model;
        std::optional<std::string> error;
        std::size_t calls = 0;
    };

    explicit Fixture(const std::filesystem::path& path = wide_model()) {
        SmallDaemon::Options options;
        options.models.clear();
        node = std::make_unique<SmallDaemon>(options);
        TemporaryFolder state;
        Catalogue theirs(state.folder);
        entry = theirs.add(path);
        file = Catalogue::open(entry);
        Announcement announcement;
        announcement.models = {announced(entry)};
        node->join(other_device(2), announcement);
    }
    ModelProvider::Want want(const void* owner, bool tokenizer, Result& result) const {
        ModelProvider::Want want;
        want.owner = owner;
        want.model = {entry.hash, entry.name, entry.file_bytes};
        want.tokenizer = tokenizer;
        want.done = [&result](std::shared_ptr<const OpenModel> model, const std::string& error) {
            result.model = std::move(model);
            result.error = error;
            ++result.calls;
        };
        return want;
    }
    void get(ModelProvider::Want wanted) {
        node->control.call([&] { node->models.get(std::move(wanted)); });
    }
    // Answers what was asked of the holder so far; true when there was something.
    bool answer() {
        return node->control.call([&] {
            const auto asked = std::exchange(node->mesh.plans, {});
            for (const auto& [to, frame] : asked) {
                node->models.on_piece_reply(
                    to, frame.id,
                    answer_piece_request(std::get<PieceRequest>(frame.body), *file->source,
                                         file->source->header_bytes()));
            }
            return !asked.empty();
        });
    }
    bool served(const Result& result) {
        return eventually([&] {
            answer();
            return node->control.call([&] { return result.calls != 0; });
        });
    }
};

}  // namespace

TEST_SUITE("ModelProvider") {
    TEST_CASE_FIXTURE(Fixture, "a model without a file comes from a holder") {
        Result result;
        get(want(this, true, result));
        REQUIRE(served(result));
        CHECK(result.error == "");
        REQUIRE(result.model);
        CHECK(result.model->tokenizer->size() == 40'000);
        CHECK(result.model->name == "wide");
    }

    TEST_CASE_FIXTURE(Fixture, "other folders are looked through at once, instead of the first") {
        TemporaryFolder first, second;
        const auto known = [&](const char* name) {
            const auto list = node->catalogue.list();
            return std::ranges::any_of(list, [&](const auto& e) { return e.name == name; });
        };
        const auto watch = [&](const TemporaryFolder& folder) {
            node->control.call([&] { node->models.watch({folder.folder.string()}); });
        };
        std::filesystem::copy_file(tiny_model(), first.folder / "one.gguf");
        watch(first);
        CHECK(eventually([&] { return known("one"); }));
        std::filesystem::copy_file(wide_model(), second.folder / "two.gguf");
        // Not written to a moment ago: such a file waits for the next look.
        std::filesystem::last_write_time(
            second.folder / "two.gguf",
            std::filesystem::file_time_type::clock::now() - std::chrono::minutes(1));
        watch(second);
        CHECK(eventually([&] { return known("two"); }));
        CHECK(known("one"));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a file is there when it is whole, and known once that is asked for") {
        TemporaryFolder models;
        const auto folder = models.folder / "later";
        node->control.call([&] { node->models.watch({folder.string()}); });
        const auto known = [&](const std::string& name) {
            bool settled = false;
            node->control.call([&] { node->models.settle([&] { settled = true; }); });
            REQUIRE(node->eventually([&] { return settled; }));
            const auto list = node->catalogue.list();
            return std::ranges::any_of(list, [&](const auto& e) { return e.name == name; });
        };
        CHECK_FALSE(known("one"));
        std::filesystem::create_directory(folder);
        CHECK_FALSE(known("one"));
        std::filesystem::copy_file(tiny_model(), models.folder / "one");
        std::filesystem::rename(models.folder / "one", folder / "one.gguf");
        CHECK(known("one"));

        std::ifstream in(other_model(), std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(in), {}};
        {
            std::ofstream out(folder / "two.gguf", std::ios::binary);
            out << bytes.substr(0, bytes.size() / 2) << std::flush;
            CHECK_FALSE(known("two"));
            CHECK(node->catalogue.unusable().empty());
            out << bytes.substr(bytes.size() / 2);
        }
        CHECK(known("two"));
        std::filesystem::remove(folder / "one.gguf");
        CHECK_FALSE(known("one"));
    }

    TEST_CASE_FIXTURE(Fixture, "several wants of one model do not write over each other") {
        Result one;
        Result two;
        Result three;
        const int a = 0;
        const int b = 0;
        get(want(&a, false, one));
        get(want(&b, true, two));
        get(want(&b, true, three));
        REQUIRE(served(one));
        REQUIRE(served(two));
        REQUIRE(served(three));
        CHECK(one.error == "");
        CHECK(two.error == "");
        CHECK(three.error == "");
        CHECK(two.model->tokenizer != nullptr);
    }

    TEST_CASE_FIXTURE(Fixture, "when the first want is given up the next one goes on") {
        Result one;
        Result two;
        const int a = 0;
        const int b = 0;
        get(want(&a, false, one));
        get(want(&b, true, two));
        REQUIRE(eventually([&] { return answer(); }));
        node->control.call([&] { node->models.cancel(&a); });
        REQUIRE(served(two));
        CHECK(two.error == "");
        CHECK(one.calls == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "a file that comes later is used, not the pieces fetched before") {
        Result pieces;
        get(want(this, false, pieces));
        REQUIRE(served(pieces));
        REQUIRE(pieces.model);
        CHECK(pieces.model->tokenizer == nullptr);
        node->catalogue.add(wide_model());
        Result whole;
        get(want(this, true, whole));
        REQUIRE(served(whole));
        REQUIRE(whole.model);
        CHECK(whole.model->tokenizer != nullptr);
        const auto& info = whole.model->source->header().tensor("output.weight");
        std::vector<std::byte> out(64);
        CHECK_NOTHROW(whole.model->source->read(model::whole(info), 0, out));
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a store folder that cannot be made is a warning and memory is used") {
        std::filesystem::remove_all(node->state.folder / "pieces");
        std::ofstream(node->state.folder / "pieces") << "a file";
        Result result;
        get(want(this, false, result));
        REQUIRE(served(result));
        CHECK_FALSE(result.model);
        CHECK(result.error->find("pieces") != std::string::npos);
        const auto warned = [&] { return !node->warning("state-folder", node->self).empty(); };
        CHECK(eventually(warned));
        node->spare_memory = 10u << 20;
        Result again;
        get(want(this, false, again));
        REQUIRE(served(again));
        CHECK(again.error == "");
        CHECK(again.model);
        CHECK(warned());
        // When it can be written, the warning goes.
        std::filesystem::remove(node->state.folder / "pieces");
        Result third;
        get(want(this, false, third));
        REQUIRE(served(third));
        CHECK(third.model);
        CHECK(eventually([&] { return !warned(); }));
    }

    TEST_CASE_FIXTURE(Fixture, "a file that changed is no copy any more, and others' are used") {
        const auto path = node->state.folder / "wide.gguf";
        const auto overwrite = [&](const std::filesystem::path& from, int age) {
            std::ifstream in(from, std::ios::binary);
            std::ofstream(path, std::ios::binary | std::ios::trunc) << in.rdbuf();
            std::filesystem::last_write_time(
                path, std::filesystem::last_write_time(wide_model()) - std::chrono::seconds(age));
        };
        overwrite(wide_model(), 60);
        node->catalogue.add(path);
        Result own;
        get(want(this, true, own));
        REQUIRE(served(own));
        REQUIRE(own.model);
        CHECK(node->control.call([&] { return node->mesh.plans.empty(); }));

        overwrite(other_model(), 50);
        std::vector<std::byte> out(64);
        const auto piece = model::whole(own.model->source->header().tensor("output.weight"));
        CHECK_THROWS_AS(own.model->source->read(piece, 0, out), model::FileFailed);
        Result fetched;
        get(want(this, false, fetched));
        REQUIRE(served(fetched));
        CHECK(fetched.error == "");
        REQUIRE(fetched.model);
        CHECK(fetched.model->hparams.n_vocab == 40'000);
        REQUIRE(eventually([&] { return node->catalogue.list().size() == 1; }));
        CHECK(node->catalogue.list()[0].hash != entry.hash);
        const auto warning = [&] { return node->warning("model-file-changed", node->self); };
        CHECK(warning().find(path.string()) != std::string::npos);

        // Without another copy the refusal says all.
        node->lose(kHolder);
        overwrite(wide_model(), 40);
        node->catalogue.add(path);
        std::filesystem::resize_file(path, 5000);
        Result none;
        get(want(this, true, none));
        REQUIRE(served(none));
        CHECK_FALSE(none.model);
        CHECK(none.error->find("no other device holds") != std::string::npos);
        CHECK(none.error->find(node->self.hex().substr(0, 8) + ", " + path.string()) !=
              std::string::npos);

        // The same bytes copied back are the same model, also for who waits.
        overwrite(wide_model(), 30);
        const auto again = node->catalogue.add(path);
        CHECK(again.hash == entry.hash);
        overwrite(wide_model(), 20);
        Result back;
        get(want(this, true, back));
        REQUIRE(served(back));
        CHECK(back.error == "");
        CHECK(back.model);
        CHECK(eventually([&] { return warning().empty(); }));
    }

    TEST_CASE("a file that is open is not opened again, and its pieces are served") {
        SmallDaemon node;
        const auto entry = node.catalogue.list().at(0);
        std::shared_ptr<const OpenModel> first;
        std::shared_ptr<const OpenModel> second;
        const auto get = [&](std::shared_ptr<const OpenModel>& into) {
            node.control.call([&] {
                ModelProvider::Want want;
                want.owner = &node;
                want.model.hash = entry.hash;
                want.done = [&](const std::shared_ptr<const OpenModel>& model, const std::string&) {
                    into = model;
                };
                node.models.get(std::move(want));
            });
            REQUIRE(node.eventually([&] { return into != nullptr; }));
        };
        get(first);
        get(second);
        CHECK(first == second);

        PieceRequest request;
        request.model = entry.hash.bytes;
        request.bytes = 1000;
        node.join(2);
        node.tell(kHolder, request, 5);
        request.model[0] ^= 1;
        node.tell(kHolder, request, 6);
        REQUIRE(eventually([&] { return node.sent_to<PieceReply>(kHolder).size() == 2; }));
        CHECK(node.mesh.plans[0].second.id == 5);
        CHECK(node.sent_to<PieceReply>(kHolder)[0].data.size() == 1000);
        CHECK_FALSE(node.sent_to<PieceReply>(kHolder)[1].error.empty());
    }
}

}  // namespace model_provider_test
