#include "daemon/pieces/whole_file_store.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "tests/daemon/pieces/coming_model.hpp"
#include "tests/daemon/support.hpp"
#include "tests/daemon/virtual_loop.hpp"

namespace whole_file_store_test {

using namespace shoal;
using namespace shoal::tests;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kChunk = piece_file::kChunk;

// A loop of virtual time that another thread posts to; it turns when a test says so.
class PostedLoop final : public Loop {
  public:
    explicit PostedLoop(VirtualTime& time) : time_(time) {}
    Time now() const noexcept override { return time_.now(); }
    Timer at(Time when, Task task, const char* /*name*/ = "a timer") override {
        return time_.at(when, std::move(task));
    }
    void post(Task task, const char* /*name*/ = "a posted task") override {
        const std::lock_guard lock(mutex_);
        posted_.push_back(std::move(task));
    }
    void turn() {
        std::vector<Task> now;
        {
            const std::lock_guard lock(mutex_);
            now.swap(posted_);
        }
        for (const Task& task : now) task();
    }

  private:
    VirtualTime& time_;
    std::mutex mutex_;
    std::vector<Task> posted_;  // guarded by mutex_
};

}  // namespace

TEST_SUITE("WholeFileStore") {
    TEST_CASE_FIXTURE(ComingModel, "a store gives what it has and takes what it lacks") {
        TemporaryFolder state, theirs;
        fs::copy_file(tiny_model(), theirs.folder / "tiny.gguf");
        Catalogue has(state.folder), lacks(models.folder / "state");
        const CatalogueEntry entry = has.add(theirs.folder / "tiny.gguf");
        ControlThread control;
        WholeFileStore giver(control.loop, has, [&] { return theirs.folder.string(); });
        WholeFileStore taker(control.loop, lacks, [&] { return models.folder.string(); });
        const auto give = [&](const mesh::messages::FileRequest& request) {
            mesh::messages::FileReply out;
            bool came = false;
            control.call([&] {
                giver.read(request, [&](mesh::messages::FileReply reply) {
                    out = std::move(reply);
                    came = true;
                });
            });
            REQUIRE(control.eventually([&] { return came; }));
            return out;
        };
        const auto length = give({entry.hash.bytes, 1, 0, 0});
        CHECK(length.error == "");
        CHECK(length.total == entry.file_bytes);
        CHECK(length.parts == 1);
        const mesh::ModelHash unknown{};
        CHECK(give({unknown.bytes, 1, 0, 1}).error != "");
        CHECK(give({entry.hash.bytes, 0, 0, 1}).error != "");
        CHECK(give({entry.hash.bytes, 2, 0, 1}).error != "");
        CHECK(give({entry.hash.bytes, 1, entry.file_bytes, 1}).error != "");
        CHECK(give({entry.hash.bytes, 1, UINT64_MAX, 1}).error != "");
        CHECK(give({entry.hash.bytes, 1, 0, kChunk + 1}).error != "");

        std::uint64_t here = 0;
        FileTrouble trouble;
        const auto wait = [&](const std::function<void(WholeFiles::Done)>& what) {
            bool came = false;
            control.call([&] {
                what([&](std::uint64_t bytes, const FileTrouble& why) {
                    here = bytes;
                    trouble = why;
                    came = true;
                });
            });
            REQUIRE(control.eventually([&] { return came; }));
            REQUIRE(trouble.text == "");
        };
        wait([&](auto done) {
            taker.begin({entry.hash, "tiny", entry.file_bytes}, {1, 1, length.total}, done);
        });
        CHECK(control.call([&] { return taker.begun(); }) == std::vector{entry.hash});
        while (here != length.total) {
            const auto bytes =
                static_cast<std::uint32_t>(piece_file::chunk_bytes(length.total, here));
            auto data = give({entry.hash.bytes, 1, here, bytes}).data;
            wait([&](auto done) { taker.write(here, std::move(data), done); });
        }
        wait([&](auto done) { taker.finish(done); });
        CHECK(control.eventually([&] { return taker.begun().empty(); }));
        lacks.scan({models.folder.string()});
        REQUIRE(lacks.find(entry.hash).has_value());
        CHECK(lacks.find(entry.hash)->name == "tiny");
        CHECK(content(models.folder / "tiny.gguf") == content(tiny_model()));
        // One that nobody reads any more does not keep the room of a file that is removed.
        const auto is_open = [&] {
            std::error_code gone;
            for (const auto& link : fs::directory_iterator("/proc/self/fd")) {
                if (fs::read_symlink(link, gone) == fs::canonical(theirs.folder) / "tiny.gguf") {
                    return true;
                }
            }
            return false;
        };
        CHECK(is_open());
        CHECK(control.eventually([&] { return !is_open(); }));
        // A file that changes is not given on.
        std::ofstream(theirs.folder / "tiny.gguf", std::ios::app) << "x";
        CHECK(give({entry.hash.bytes, 1, 0, 100}).error != "");
    }

    TEST_CASE_FIXTURE(ComingModel,
                      "a store forgets what is removed, and waits while it is told to") {
        TemporaryFolder state;
        Catalogue catalogue(state.folder);
        VirtualTime time;
        PostedLoop loop(time);
        std::optional<FileTrouble> trouble;
        std::uint64_t here = 0;
        const WholeFiles::Done done = [&](std::uint64_t bytes, const FileTrouble& why) {
            here = bytes;
            trouble = why;
        };
        WholeFileStore store(loop, catalogue, [&] { return models.folder.string(); });
        const auto wait = [&] {
            REQUIRE(eventually([&] {
                loop.turn();
                return trouble.has_value();
            }));
            return *std::exchange(trouble, std::nullopt);
        };
        open();
        begin();
        write(0);
        coming.reset();
        const FilePart part{1, 1, files[0].size()};
        SUBCASE("removed on its way") {
            store.begin(model(), part, done);
            REQUIRE(wait().text == "");
            CHECK(here == kChunk);
            CHECK(store.begun().size() == 1);
            fs::remove(hidden());
            store.write(kChunk, {files[0].begin() + kChunk, files[0].begin() + 2 * kChunk}, done);
            CHECK(wait().removed);
            CHECK(store.begun().empty());
        }
        SUBCASE("left while it waits") {
            store.pause(true);
            store.begin(model(), part, done);
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            loop.turn();
            CHECK_FALSE(trouble.has_value());
            store.leave();
            CHECK_FALSE(wait().lasting);
            CHECK(here == 0);
            store.begin(model(), part, done);
            store.pause(false);
            CHECK(wait().text == "");
            CHECK(here == kChunk);
        }
        SUBCASE("nobody has gone on with it for a month") {
            const auto looked = [&](bool begun) {
                return eventually([&] {
                    loop.turn();
                    return store.begun().empty() != begun && fs::exists(hidden()) == begun;
                });
            };
            store.look();
            CHECK(looked(true));
            fs::last_write_time(hidden(),
                                fs::file_time_type::clock::now() - std::chrono::hours(24 * 31));
            time.pass(std::chrono::hours(25));
            CHECK(looked(false));
        }
    }
}

}  // namespace whole_file_store_test
