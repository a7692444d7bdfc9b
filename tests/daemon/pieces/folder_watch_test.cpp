#include "daemon/pieces/folder_watch.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/model/temporary_folder.hpp"

namespace folder_watch_test {

using namespace shoal;
using namespace shoal::tests;
using Paths = std::set<std::filesystem::path>;

namespace {

struct Fixture {
    TemporaryFolder temporary;
    // Paths are told without links.
    const std::filesystem::path root = std::filesystem::canonical(temporary.folder);
    const std::filesystem::path models = root / "models";
    std::vector<std::string> folders{models.string()};
    FolderWatch watch;

    Fixture() {
        std::filesystem::create_directory(models);
        CHECK(arrange());
    }
    bool arrange() { return watch.adopt(watch.arrange(folders)); }
    // The kernel tells at once what has happened.
    bool heard() {
        pollfd polled{watch.descriptor(), POLLIN, 0};
        if (poll(&polled, 1, 0) != 1 || !watch.take()) return false;
        while (arrange()) {
        }
        return true;
    }
    static void write(const std::filesystem::path& path) { std::ofstream(path) << "text"; }
};

}  // namespace

TEST_SUITE("FolderWatch") {
    TEST_CASE_FIXTURE(Fixture, "a file is being written until its writer closes it") {
        CHECK(watch.hears_all());
        CHECK(watch.trouble().empty());
        CHECK_FALSE(heard());
        // The same again is nothing new.
        CHECK_FALSE(arrange());
        {
            std::ofstream file(models / "a.gguf");
            file << "first" << std::flush;
            CHECK(heard());
            CHECK(watch.news().writing == Paths{models / "a.gguf"});
            file << "second" << std::flush;
            CHECK_FALSE(heard());
            CHECK(watch.news().writing == Paths{models / "a.gguf"});
        }
        CHECK(heard());
        const FileNews news = watch.news();
        CHECK(news.writing.empty());
        CHECK(news.whole == Paths{models / "a.gguf"});
        // Told once.
        CHECK(watch.news().whole.empty());
        // In place.
        write(models / "a.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{models / "a.gguf"});
    }

    TEST_CASE_FIXTURE(Fixture, "what is renamed into place is whole, and renamed away is gone") {
        write(root / "part");
        write(models / "other.txt");
        CHECK_FALSE(heard());
        std::filesystem::rename(root / "part", models / "a.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{models / "a.gguf"});
        std::filesystem::rename(models / "a.gguf", models / "b.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{models / "b.gguf"});
        std::filesystem::remove(models / "b.gguf");
        CHECK(heard());
        CHECK(watch.news().whole.empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a link is heard of") {
        write(root / "blob");
        std::filesystem::create_symlink(root / "blob", models / "soft.gguf");
        CHECK(heard());
        std::filesystem::create_hard_link(root / "blob", models / "hard.gguf");
        CHECK(heard());
    }

    TEST_CASE_FIXTURE(Fixture, "who may read a file is heard, but not of one being written") {
        std::ofstream file(models / "a.gguf");
        file << "text" << std::flush;
        std::filesystem::permissions(models / "a.gguf", std::filesystem::perms::owner_read);
        heard();
        CHECK(watch.news().whole.empty());
        file.close();
        heard();
        watch.news();
        std::filesystem::permissions(models / "a.gguf", std::filesystem::perms::all);
        CHECK(heard());
        CHECK(watch.news().whole == Paths{models / "a.gguf"});
    }

    TEST_CASE_FIXTURE(Fixture, "a folder that is not there yet is heard of when it comes") {
        const auto late = root / "one" / "two" / "three";
        folders = {late.string(), models.string()};
        CHECK(arrange());
        CHECK(watch.hears_all());
        std::filesystem::create_directory(root / "unrelated");
        CHECK_FALSE(heard());
        std::filesystem::create_directories(late);
        CHECK(heard());
        write(late / "a.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{late / "a.gguf"});
        write(models / "b.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{models / "b.gguf"});
    }

    TEST_CASE_FIXTURE(Fixture, "a folder that goes is heard of when it comes back") {
        write(models / "a.gguf");
        heard();
        std::filesystem::rename(models, root / "aside");
        CHECK(heard());
        write(root / "aside" / "b.gguf");
        CHECK_FALSE(heard());
        std::filesystem::rename(root / "aside", models);
        CHECK(heard());
        write(models / "c.gguf");
        CHECK(heard());
        std::filesystem::remove_all(models);
        CHECK(heard());
        std::filesystem::create_directory(models);
        CHECK(heard());
        write(models / "d.gguf");
        CHECK(heard());
        CHECK(watch.news().whole.contains(models / "d.gguf"));
    }

    TEST_CASE_FIXTURE(Fixture, "a link to a folder is followed, elsewhere when it is asked again") {
        const auto second = root / "second";
        std::filesystem::create_directory(second);
        std::filesystem::create_directory_symlink(models, root / "link");
        folders = {(root / "link").string()};
        CHECK_FALSE(arrange());
        write(models / "a.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{models / "a.gguf"});
        std::filesystem::remove(root / "link");
        std::filesystem::create_directory_symlink(second, root / "link");
        CHECK(arrange());
        heard();
        write(models / "b.gguf");
        CHECK_FALSE(heard());
        write(second / "c.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{second / "c.gguf"});
    }

    TEST_CASE_FIXTURE(Fixture, "too much to be told means that all is looked at again") {
        std::ifstream limit_file("/proc/sys/fs/inotify/max_queued_events");
        std::size_t limit = 0;
        limit_file >> limit;
        REQUIRE(limit > 0);
        if (limit > 100'000) return;
        std::ofstream open(models / "open.gguf");
        heard();
        // Two events each, and none the same as the one before.
        for (std::size_t i = 0; i <= limit / 2; ++i) {
            std::filesystem::rename(models / (i % 2 == 0 ? "open.gguf" : "moved.gguf"),
                                    models / (i % 2 == 0 ? "moved.gguf" : "open.gguf"));
        }
        bool told = false;
        while (heard()) told = true;
        CHECK(told);
        CHECK(watch.news().writing.empty());
        write(models / "b.gguf");
        CHECK(heard());
        CHECK(watch.news().whole == Paths{models / "b.gguf"});
    }

    TEST_CASE_FIXTURE(Fixture,
                      "where inotify cannot be had it says so, and that nothing is heard") {
        rlimit before{};
        REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
        // No descriptor beyond the next free one.
        const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        REQUIRE(next >= 0);
        close(next);
        const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
        FolderWatch deaf;
        CHECK_FALSE(deaf.adopt(deaf.arrange(folders)));
        REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
        CHECK(deaf.descriptor() == -1);
        CHECK_FALSE(deaf.hears_all());
        CHECK(deaf.trouble().find("max_user_instances") != std::string::npos);
        CHECK_FALSE(deaf.take());
    }
}

}  // namespace folder_watch_test
