#include "daemon/pieces/catalogue.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/daemon/support.hpp"
#include "tests/model/model_split.hpp"

namespace catalogue_test {

using namespace shoal;
using namespace shoal::tests;
using model::ModelError;

namespace {

struct Fixture {
    TemporaryFolder temporary;
    const std::filesystem::path state = temporary.folder / "state";
    const std::filesystem::path models = temporary.folder / "models";

    Fixture() {
        std::filesystem::create_directories(state);
        std::filesystem::create_directories(models);
    }
    std::filesystem::path put(const std::filesystem::path& from, const std::string& name) {
        const auto path = models / name;
        std::filesystem::copy_file(from, path, std::filesystem::copy_options::overwrite_existing);
        return path;
    }
    std::vector<std::string> scan(Catalogue& catalogue) {
        return catalogue.scan({models}).complaints;
    }
    static void age(const std::filesystem::path& path, std::chrono::seconds age) {
        std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - age);
    }
    // Other content with the same length and time: only reading it shows the difference.
    static void change_unseen(const std::filesystem::path& path) {
        const auto time = std::filesystem::last_write_time(path);
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(-1, std::ios::end);
        file.put('\x7F');
        file.close();
        std::filesystem::last_write_time(path, time);
    }
    static void touch(const std::filesystem::path& path) {
        std::filesystem::last_write_time(
            path, std::filesystem::last_write_time(path) + std::chrono::seconds(5));
    }
    static std::string slurp(const std::filesystem::path& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
};

bool any_mentions(const std::vector<std::string>& texts, const std::string& part) {
    return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
        return text.find(part) != std::string::npos;
    });
}

}  // namespace

TEST_SUITE("Catalogue") {
    TEST_CASE_FIXTURE(Fixture, "models are found by name and by content") {
        put(tiny_model(), "tiny.gguf");
        put(other_model(), "other.model.gguf");
        put(tiny_model(), "tiny.bin");
        std::ofstream(models / "readme.txt") << "text";
        Catalogue catalogue(state);
        CHECK(scan(catalogue).empty());
        const auto list = catalogue.list();
        REQUIRE(list.size() == 2);
        std::vector<std::string> names{list[0].name, list[1].name};
        std::sort(names.begin(), names.end());
        CHECK(names == std::vector<std::string>{"other.model", "tiny"});
        for (const auto& entry : list) {
            CHECK(catalogue.find(entry.hash)->path == entry.path);
            CHECK(entry.architecture == "llama");
            CHECK(entry.context == 1024);
            CHECK(entry.parameters > 100'000);
            CHECK(entry.file_bytes == std::filesystem::file_size(entry.path));
            const auto open = Catalogue::open(entry);
            CHECK(open->hash == entry.hash);
            CHECK(open->tokenizer != nullptr);
            const auto wire = announced(entry);
            CHECK(wire.hash == entry.hash.bytes);
            CHECK(wire.name == entry.name);
        }
        CHECK_FALSE(catalogue.find(mesh::ModelHash{}));
    }

    TEST_CASE_FIXTURE(Fixture, "the hash is BLAKE2b-256 of the file, wherever it lies") {
        put(tiny_model(), "a.gguf");
        Catalogue one(state);
        Catalogue two(temporary.folder / "nowhere");
        scan(one);
        CHECK(one.list().at(0).hash == two.add(tiny_model()).hash);
        const std::string command = "b2sum -l 256 " + tiny_model().string();
        FILE* pipe = popen(command.c_str(), "r");
        REQUIRE(pipe != nullptr);
        char text[65] = {};
        REQUIRE(fread(text, 1, 64, pipe) == 64);
        pclose(pipe);
        CHECK(one.list().at(0).hash.hex() == text);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a model of an unknown pre-tokenizer is taken in only when allowed") {
        std::ifstream in(tiny_model(), std::ios::binary);
        std::string bytes{std::istreambuf_iterator<char>(in), {}};
        const std::string known = "llama-bpe";
        REQUIRE(bytes.find(known) != std::string::npos);
        bytes.replace(bytes.find(known), known.size(), "a.x-4.0-b");
        std::ofstream(models / "new.gguf", std::ios::binary) << bytes;
        Catalogue careful(state);
        const auto complaints = scan(careful);
        REQUIRE(complaints.size() == 1);
        CHECK(complaints[0].find("new.gguf") != std::string::npos);
        CHECK(complaints[0].find("a.x-4.0-b") != std::string::npos);
        CHECK(careful.list().empty());
        Catalogue bold(state, model::Tokenizer::UnknownPre::guess);
        CHECK(scan(bold).empty());
        const auto open = Catalogue::open(bold.list().at(0));
        CHECK(open->tokenizer->warning().find("a.x-4.0-b") != std::string_view::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "one content under two names is known by both, in any order") {
        const auto first = put(tiny_model(), "first.gguf");
        const auto second = put(tiny_model(), "second.gguf");
        Catalogue catalogue(state);
        CHECK(scan(catalogue).empty());
        REQUIRE(catalogue.list().size() == 2);
        CHECK(catalogue.list()[0].name != catalogue.list()[1].name);
        const auto hash = catalogue.list()[0].hash;
        CHECK(catalogue.list()[1].hash == hash);
        CHECK_FALSE(catalogue.scan({models}).changed);
        // The other one serves.
        std::filesystem::remove(first);
        CHECK(catalogue.scan({models}).changed);
        REQUIRE(catalogue.list().size() == 1);
        CHECK(catalogue.find(hash)->path == second);
        // Another content takes over the path, and the old one is no more.
        put(other_model(), "second.gguf");
        touch(second);
        const auto changed = catalogue.add(second);
        REQUIRE(catalogue.list().size() == 1);
        CHECK(catalogue.list()[0].hash == changed.hash);
    }

    TEST_CASE_FIXTURE(Fixture, "a file is read for its hash once, and again after it changed") {
        const auto path = put(tiny_model(), "a.gguf");
        Catalogue first(state);
        const auto before = first.add(path);
        change_unseen(path);
        // Remembered by this object and by the next one: the change is not seen.
        CHECK(first.add(path).hash == before.hash);
        Catalogue second(state);
        CHECK(second.add(path).hash == before.hash);
        touch(path);
        const auto after = second.add(path);
        CHECK(after.hash != before.hash);
        CHECK(second.list().size() == 1);
        CHECK_FALSE(second.find(before.hash));
        Catalogue third(state);
        CHECK(third.add(path).hash == after.hash);
    }

    TEST_CASE_FIXTURE(Fixture, "a file of another length is read again whatever its time") {
        const auto path = put(tiny_model(), "a.gguf");
        const auto time = std::filesystem::last_write_time(path);
        Catalogue catalogue(state);
        const auto before = catalogue.add(path).hash;
        std::ofstream(path, std::ios::app) << "more";
        std::filesystem::last_write_time(path, time);
        CHECK(catalogue.add(path).hash != before);
    }

    TEST_CASE_FIXTURE(Fixture, "what changed after it was hashed is not opened under that hash") {
        const auto path = put(tiny_model(), "a.gguf");
        Catalogue catalogue(state);
        const auto entry = catalogue.add(path);
        CHECK_NOTHROW(Catalogue::open(entry));
        put(other_model(), "a.gguf");
        touch(path);
        CHECK_THROWS_WITH_AS(Catalogue::open(entry), doctest::Contains("a.gguf"), ModelError);
        CHECK_NOTHROW(Catalogue::open(catalogue.add(path)));
        std::filesystem::remove(path);
        CHECK_THROWS_AS(Catalogue::open(entry), ModelError);
    }

    TEST_CASE_FIXTURE(Fixture, "unusable files are left out, each with a reason") {
        put(tiny_model(), "good.gguf");
        std::ofstream(models / "empty.gguf");
        std::ofstream(models / "junk.gguf") << std::string(5000, 'j');
        const auto cut = put(tiny_model(), "cut.gguf");
        std::filesystem::resize_file(cut, std::filesystem::file_size(cut) / 2);
        std::filesystem::create_directory(models / "folder.gguf");
        std::filesystem::create_symlink("nowhere", models / "broken.gguf");
        REQUIRE(mkfifo((models / "pipe.gguf").c_str(), 0600) == 0);
        Catalogue catalogue(state);
        const auto complaints = scan(catalogue);
        for (const std::string name : {"empty", "junk", "cut", "folder", "broken", "pipe"}) {
            CAPTURE(name);
            CHECK(any_mentions(complaints, name + ".gguf"));
        }
        CHECK(complaints.size() == 6);
        REQUIRE(catalogue.list().size() == 1);
        CHECK(catalogue.list()[0].name == "good");
    }

    TEST_CASE_FIXTURE(Fixture, "a link is known by its own name, and followed when it is read") {
        const auto blob = temporary.folder / "d8a1f0";
        std::filesystem::copy_file(tiny_model(), blob);
        std::filesystem::create_symlink(blob, models / "linked.gguf");
        Catalogue catalogue(state);
        // It began, and nobody will close it.
        CHECK(catalogue.scan({models}, {{}, {models / "linked.gguf"}}).complaints.empty());
        REQUIRE(catalogue.list().size() == 1);
        CHECK(catalogue.list()[0].name == "linked");
        CHECK_NOTHROW(Catalogue::open(catalogue.list()[0]));
        std::filesystem::remove(blob);
        CHECK(scan(catalogue).size() == 1);
        CHECK(catalogue.list().empty());
        CHECK(scan(catalogue).empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a model in parts is one, named without the number of a part") {
        split_model(tiny_model(), models, "m", 3);
        Catalogue catalogue(state);
        CHECK(scan(catalogue).empty());
        REQUIRE(catalogue.list().size() == 1);
        const CatalogueEntry entry = catalogue.list()[0];
        CHECK(entry.name == "m");
        CHECK(entry.path == models / "m-00001-of-00003.gguf");
        CHECK(entry.parameters == Catalogue(state).add(tiny_model()).parameters);
        const std::string command = "cat " + (models / "m-*").string() + " | b2sum -l 256";
        FILE* pipe = popen(command.c_str(), "r");
        REQUIRE(pipe != nullptr);
        char text[65] = {};
        REQUIRE(fread(text, 1, 64, pipe) == 64);
        pclose(pipe);
        CHECK(entry.hash.hex() == text);
        CHECK_NOTHROW(Catalogue::open(entry));
        CHECK(catalogue.add(models / "m-00002-of-00003.gguf").hash == entry.hash);
        CHECK(catalogue.list().size() == 1);
        CHECK_FALSE(catalogue.scan({models}).changed);
        // Its hash is remembered, and forgotten when any part is another.
        change_unseen(models / "m-00003-of-00003.gguf");
        Catalogue next(state);
        scan(next);
        CHECK(next.list().at(0).hash == entry.hash);
        touch(models / "m-00003-of-00003.gguf");
        CHECK_THROWS_AS(Catalogue::open(entry), model::FileFailed);
        Catalogue third(state);
        scan(third);
        CHECK(third.list().at(0).hash != entry.hash);
    }

    TEST_CASE_FIXTURE(Fixture, "parts that are missing or being written are waited for") {
        const auto parts = split_model(tiny_model(), temporary.folder, "m", 3);
        const auto bring = [&](std::size_t part) {
            const auto path = models / parts[part].filename();
            std::filesystem::copy_file(parts[part], path);
            return path;
        };
        Catalogue catalogue(state);
        scan(catalogue);
        const auto third = bring(2);
        CHECK(catalogue.scan({models}).again == std::chrono::seconds(3));
        CHECK(catalogue.unusable().empty());
        // Whole, and the others may come at once.
        CHECK(catalogue.scan({models}, {{third}, {}}).again == std::chrono::seconds(3));
        age(third, std::chrono::seconds(5));
        CHECK(any_mentions(catalogue.scan({models}, {{third}, {}}).complaints, "part 1 of 3"));
        CHECK(catalogue.unusable().at(0).name == "m");
        CHECK(catalogue.scan({models}, {{third}, {}}).complaints.empty());
        const auto first = bring(0);
        age(first, std::chrono::seconds(5));
        CHECK(any_mentions(catalogue.scan({models}, {{first}, {}}).complaints, "part 2 of 3"));
        const auto second = bring(1);
        catalogue.scan({models}, {{first}, {second}});
        CHECK(catalogue.list().empty());
        CHECK(catalogue.scan({models}, {{second}, {}}).complaints.empty());
        CHECK(catalogue.list().size() == 1);
        CHECK(catalogue.unusable().empty());
        std::filesystem::remove(second);
        age(first, std::chrono::seconds(60));
        age(third, std::chrono::seconds(60));
        CHECK(any_mentions(scan(catalogue), "part 2 of 3"));
        CHECK(catalogue.list().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is known to be whole is taken in at once") {
        Catalogue catalogue(state);
        scan(catalogue);
        const auto path = put(tiny_model(), "new.gguf");
        const Scan early = catalogue.scan({models});
        CHECK(catalogue.list().empty());
        CHECK(early.again == std::chrono::seconds(3));
        CHECK_FALSE(early.changed);
        const Scan whole = catalogue.scan({models}, {{path}, {}});
        CHECK(catalogue.list().size() == 1);
        CHECK_FALSE(whole.again);
        CHECK(whole.changed);
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is being written waits, also for the first look") {
        const auto path = put(tiny_model(), "new.gguf");
        std::filesystem::resize_file(path, 5000);
        age(path, std::chrono::seconds(20));
        Catalogue catalogue(state);
        const Scan early = catalogue.scan({models}, {{}, {path}});
        CHECK(early.complaints.empty());
        CHECK(early.again == std::chrono::seconds(60));
        // Until its writer has not written for long.
        age(path, std::chrono::seconds(70));
        CHECK(catalogue.scan({models}, {{}, {path}}).complaints.size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a refused file is opened again when something is heard of it") {
        const auto path = put(tiny_model(), "new.gguf");
        const auto write_first = [&](char byte) {
            const auto time = std::filesystem::last_write_time(path);
            std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
            file.put(byte);
            file.close();
            std::filesystem::last_write_time(path, time);
        };
        write_first('X');
        Catalogue catalogue(state);
        CHECK(scan(catalogue).size() == 1);
        write_first('G');
        CHECK_FALSE(catalogue.scan({models}).changed);
        CHECK(catalogue.scan({models}, {{path}, {}}).changed);
        CHECK(catalogue.unusable().empty());
        CHECK(catalogue.list().size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a later look takes in what is new, and drops what is gone") {
        const auto old = [](const std::filesystem::path& path) {
            age(path, std::chrono::seconds(60));
        };
        const auto tiny = put(tiny_model(), "tiny.gguf");
        std::ofstream(models / "junk.gguf") << "no model";
        old(models / "junk.gguf");
        Catalogue catalogue(state);
        CHECK(scan(catalogue).size() == 1);
        REQUIRE(catalogue.unusable().size() == 1);
        CHECK(catalogue.unusable()[0].name == "junk");
        CHECK(catalogue.unusable()[0].reason.find("GGUF") != std::string::npos);
        // Nothing new is nothing to say.
        CHECK(scan(catalogue).empty());
        CHECK(catalogue.unusable().size() == 1);

        std::filesystem::remove(tiny);
        put(other_model(), "junk.gguf");
        scan(catalogue);  // It may not be whole yet.
        CHECK(catalogue.list().empty());
        old(models / "junk.gguf");
        scan(catalogue);
        CHECK(catalogue.unusable().empty());
        REQUIRE(catalogue.list().size() == 1);
        CHECK(catalogue.list()[0].name == "junk");
        // In place, and broken.
        std::ofstream(models / "junk.gguf") << "no model";
        old(models / "junk.gguf");
        CHECK(scan(catalogue).size() == 1);
        CHECK(catalogue.list().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is dropped is read again before it is used again") {
        const auto path = put(tiny_model(), "a.gguf");
        Catalogue catalogue(state);
        const auto entry = catalogue.add(path);
        CHECK(catalogue.drop(entry));
        CHECK_FALSE(catalogue.drop(entry));
        CHECK(catalogue.list().empty());
        change_unseen(path);
        CHECK(catalogue.add(path).hash != entry.hash);
    }

    TEST_CASE_FIXTURE(Fixture, "a file that may not be read is left out with a reason") {
        if (geteuid() == 0) return;  // The superuser may read all.
        const auto path = put(tiny_model(), "secret.gguf");
        std::filesystem::permissions(path, std::filesystem::perms::none);
        Catalogue catalogue(state);
        CHECK(any_mentions(scan(catalogue), "secret.gguf"));
        CHECK(catalogue.list().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "a folder that is not there is no error, one that is no folder is") {
        Catalogue catalogue(state);
        CHECK(catalogue.scan({temporary.folder / "missing"}).complaints.empty());
        std::ofstream(temporary.folder / "file") << "x";
        CHECK(catalogue.scan({temporary.folder / "file"}).complaints.size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "damage in the remembered hashes costs a hash and no more") {
        const auto path = put(tiny_model(), "a.gguf");
        mesh::ModelHash hash;
        {
            Catalogue catalogue(state);
            hash = catalogue.add(path).hash;
        }
        const std::string good = slurp(state / "model-hashes");
        CHECK(good.find(hash.hex()) == 0);
        for (const std::string& damaged :
             {std::string("\n\n\n"), std::string("zz 1 2 /x\n") + good, good.substr(0, 40),
              std::string(100'000, 'a'), hash.hex() + " 99999999999999999999999 1 /x\n",
              hash.hex() + " 12\n", std::string("\0\0\0\0", 4) + good,
              hash.hex() + " -5 -7 " + path.string() + "\n"}) {
            CAPTURE(damaged.size());
            std::ofstream(state / "model-hashes", std::ios::trunc) << damaged;
            Catalogue catalogue(state);
            CHECK(catalogue.add(path).hash == hash);
        }
        Catalogue repaired(state);
        CHECK(slurp(state / "model-hashes").find(path.string()) != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "a path that a line cannot hold is not remembered under another") {
        const auto path = put(tiny_model(), "a.gguf");
        Catalogue catalogue(state);
        const auto hash = catalogue.add(path).hash;
        const mesh::ModelHash wrong{{1, 2, 3}};
        // Its second line would say that a.gguf has another hash.
        struct stat info {};
        REQUIRE(stat(path.c_str(), &info) == 0);
        const std::string line = "x\n" + wrong.hex() + " " + std::to_string(info.st_size) + " " +
                                 std::to_string(std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 +
                                                info.st_mtim.tv_nsec) +
                                 " ";
        const auto folder = models / line;
        std::filesystem::create_directories(folder.string() + path.parent_path().string());
        const std::string evil = folder.string() + path.string();
        std::filesystem::copy_file(tiny_model(), evil);
        CHECK(catalogue.add(evil).hash == hash);
        Catalogue next(state);
        CHECK(next.add(path).hash == hash);
    }

    TEST_CASE_FIXTURE(Fixture, "a state folder that cannot be written costs the memory only") {
        Catalogue catalogue(temporary.folder / "no" / "such");
        CHECK_NOTHROW(catalogue.add(tiny_model()));
        CHECK(catalogue.list().size() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "hashing stops when the daemon does") {
        Catalogue catalogue(state);
        catalogue.stop();
        CHECK_THROWS_AS(catalogue.add(tiny_model()), ModelError);
        CHECK(catalogue.list().empty());
    }

    TEST_CASE_FIXTURE(Fixture, "several threads may add and look at once") {
        put(tiny_model(), "a.gguf");
        put(other_model(), "b.gguf");
        Catalogue catalogue(state);
        {
            std::vector<std::jthread> threads;
            for (int i = 0; i < 3; ++i) {
                threads.emplace_back([&] {
                    for (int k = 0; k < 5; ++k) {
                        catalogue.scan({models});
                        for (const auto& entry : catalogue.list()) {
                            static_cast<void>(catalogue.find(entry.hash));
                        }
                    }
                });
            }
        }
        CHECK(catalogue.list().size() == 2);
    }
}

}  // namespace catalogue_test
