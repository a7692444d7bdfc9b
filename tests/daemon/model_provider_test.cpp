#include "daemon/model_provider.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/daemon/small_node.hpp"

using namespace shoal;
using namespace shoal::tests;
using namespace mesh::wire;

namespace {

const mesh::DeviceId kHolder = device_id(2);

// This device has no file; device 2 announces one and answers from it.
struct Fixture {
    std::unique_ptr<SmallNode> node;
    std::shared_ptr<const OpenModel> file;
    CatalogueEntry entry;
    struct Result {
        std::shared_ptr<const OpenModel> model;
        std::optional<std::string> error;
        std::size_t calls = 0;
    };

    explicit Fixture(const std::filesystem::path& path = wide_model()) {
        SmallNode::Options options;
        options.models.clear();
        node = std::make_unique<SmallNode>(options);
        TemporaryFolder state;
        Catalogue theirs(state.folder);
        entry = theirs.add(path);
        file = Catalogue::open(entry);
        node->control.call([&] {
            node->others.push_back(SmallNode::other(2));
            node->others[0].description.models = SmallNode::announcement({entry});
        });
    }
    ModelProvider::Want want(const void* owner, bool tokenizer, Result& result) const {
        ModelProvider::Want want;
        want.owner = owner;
        want.hash = entry.hash;
        want.name = entry.name;
        want.file_bytes = entry.file_bytes;
        want.tokenizer = tokenizer;
        want.pieces = [](const OpenModel&) { return std::vector<model::Piece>(); };
        want.progress = [](std::uint64_t, std::uint64_t) {};
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
            auto asked = std::move(node->pieces_sent);
            node->pieces_sent.clear();
            for (const auto& [to, frame] : asked) {
                const auto* request = std::get_if<PieceRequest>(&frame.body);
                if (request == nullptr) continue;
                node->models.on_piece_reply(
                    to, frame.id,
                    answer_piece_request(*request, *file->source, file->source->header_bytes()));
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
        REQUIRE(answer());
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

    TEST_CASE_FIXTURE(Fixture, "a store folder that cannot be made is an error") {
        std::filesystem::remove_all(node->state.folder / "pieces");
        std::ofstream(node->state.folder / "pieces") << "a file";
        Result result;
        get(want(this, false, result));
        REQUIRE(served(result));
        CHECK_FALSE(result.model);
        CHECK(result.error->find("pieces") != std::string::npos);
    }

    TEST_CASE("a file that is open is not opened again, and its pieces are served") {
        SmallNode node;
        const auto entry = node.catalogue.list().at(0);
        std::shared_ptr<const OpenModel> first;
        std::shared_ptr<const OpenModel> second;
        const auto get = [&](std::shared_ptr<const OpenModel>& into) {
            node.control.call([&] {
                ModelProvider::Want want;
                want.owner = &node;
                want.hash = entry.hash;
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
        node.control.call([&] {
            node.models.on_piece_request(kHolder, 5, request);
            request.model[0] ^= 1;
            node.models.on_piece_request(kHolder, 6, request);
        });
        REQUIRE(node.eventually([&] { return node.pieces_sent.size() == 2; }));
        CHECK(node.pieces_sent[0].second.id == 5);
        CHECK(std::get<PieceReply>(node.pieces_sent[0].second.body).data.size() == 1000);
        CHECK_FALSE(std::get<PieceReply>(node.pieces_sent[1].second.body).error.empty());
    }
}
