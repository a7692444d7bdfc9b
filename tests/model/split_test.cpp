#include "daemon/model/split.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "daemon/model/gguf_writer.hpp"
#include "daemon/model/hparams.hpp"
#include "daemon/model/piece.hpp"
#include "tests/model/model_maker.hpp"
#include "tests/model/model_split.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::model::split_test {
namespace {

// A model in one file and in three.
struct Fixture : tests::TemporaryFolder {
    std::filesystem::path whole = folder / "whole.gguf";
    std::vector<std::filesystem::path> parts;

    Fixture() {
        tests::ModelShape shape;
        shape.type = "q4_k_m";
        tests::make_model(shape, whole);
        parts = tests::split_model(whole, folder, "m", 3);
    }
    std::string error(const std::filesystem::path& path) const {
        try {
            read_hparams(GgufFile(path));
        } catch (const ModelError& e) {
            return e.what();
        }
        return "";
    }
    void check_same(const std::filesystem::path& split) const {
        const GgufFile one(whole);
        const GgufFile file(split);
        REQUIRE(file.header().tensors().size() == one.header().tensors().size());
        for (const TensorInfo& info : one.header().tensors()) {
            const TensorInfo& its = file.header().tensor(info.name);
            CHECK(its.type == info.type);
            CHECK(its.cols == info.cols);
            CHECK(its.rows == info.rows);
            CHECK(its.matrices == info.matrices);
            REQUIRE(file.data(its) == one.data(info));
            // A rectangle of it, as other devices ask for.
            const Piece piece{info.name, info.rows / 2, info.rows, 0, info.cols};
            std::vector<std::byte> ours(piece_bytes(info, piece));
            std::vector<std::byte> theirs(ours.size());
            FileSource(one).read(piece, 0, ours);
            FileSource(file).read(piece, 0, theirs);
            REQUIRE(ours == theirs);
        }
        for (const auto& [key, value] : one.header().metadata()) {
            CHECK(file.header().find(key) != nullptr);
        }
        CHECK(read_hparams(file).n_layers == read_hparams(one).n_layers);
    }
};

TEST_SUITE("split models") {
    TEST_CASE("a name says which part of how many it is") {
        const auto name = split_name("/a/b-7b-00002-of-00011.gguf");
        REQUIRE(name);
        CHECK(name->model == "b-7b");
        CHECK(name->part == 2);
        CHECK(name->parts == 11);
        CHECK(name->file(10) == "b-7b-00010-of-00011.gguf");
        for (const char* other :
             {"m.gguf", "m-00001-of-00001.gguf", "m-00000-of-00003.gguf", "m-00004-of-00003.gguf",
              "m-0001-of-0003.gguf", "m-00001-of-00003.bin", "-00001-of-00003.gguf",
              "m-0000x-of-00003.gguf", "m_00001-of-00003.gguf", "m-00001_of_00003.gguf", ""}) {
            CAPTURE(other);
            CHECK_FALSE(split_name(other));
        }
        CHECK(model_name("/a/b-7b-00002-of-00011.gguf") == "b-7b");
        CHECK(model_name("/a/b-00001-of-00001.gguf") == "b-00001-of-00001");
        CHECK(model_files("x/m-00002-of-00002.gguf") ==
              std::vector<std::filesystem::path>{"x/m-00001-of-00002.gguf",
                                                 "x/m-00002-of-00002.gguf"});
        CHECK(model_files("m.gguf") == std::vector<std::filesystem::path>{"m.gguf"});
    }

    TEST_CASE("files together are the same while each is, in their order") {
        const FileStamp a{1, 2};
        const FileStamp b{3, 4};
        CHECK(combined({a}) == a);
        CHECK(combined({a, b}) == combined({a, b}));
        CHECK(combined({a, b}).bytes == 4);
        CHECK(combined({a, b}) != combined({b, a}));
        CHECK(combined({a, {3, 5}}) != combined({a, b}));
    }

    TEST_CASE_FIXTURE(Fixture, "a model in parts is the model, whichever part is named") {
        for (const auto& part : parts) check_same(part);
        const GgufFile file(parts[1]);
        CHECK(file.path() == parts[0]);
        // What other devices get is a header like any other.
        const auto header = GgufHeader::parse(file.header_bytes(), file.bytes(), "m");
        CHECK(header.tensors().size() == file.header().tensors().size());
        CHECK(header.get_uint("split.count") == 0);
    }

    TEST_CASE_FIXTURE(Fixture, "the first part may have the description alone") {
        parts = tests::split_model(whole, folder, "bare", 4, false);
        CHECK(GgufHeader::parse(GgufFile(parts[0]).header_bytes(), GgufFile(parts[0]).bytes(), "m")
                  .tensors()
                  .size() == GgufFile(whole).header().tensors().size());
        check_same(parts[3]);
    }

    TEST_CASE_FIXTURE(Fixture, "a part that is missing is named") {
        std::filesystem::rename(parts[1], folder / "elsewhere");
        for (const auto& part : {parts[0], parts[2]}) {
            CHECK(error(part) == parts[1].string() +
                                     ": part 2 of 3 of the model is missing; put it "
                                     "beside the others");
        }
        // Cut short, as by a copy that goes on.
        std::filesystem::copy_file(folder / "elsewhere", parts[1]);
        std::filesystem::resize_file(parts[1], std::filesystem::file_size(parts[1]) - 100);
        CHECK(error(parts[0]).find(parts[1].string()) == 0);
        CHECK(error(parts[0]).find("reach beyond the file's end") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "parts that are called what they are not are refused") {
        std::filesystem::rename(parts[1], folder / "aside");
        std::filesystem::rename(parts[2], parts[1]);
        std::filesystem::rename(folder / "aside", parts[2]);
        CHECK(error(parts[0]) == parts[1].string() +
                                     ": called part 2 of 3, but says that it is "
                                     "part 3 of 3: give it its own name");
        std::filesystem::copy_file(parts[0], folder / "alone.gguf");
        CHECK(error(folder / "alone.gguf") ==
              (folder / "alone.gguf").string() +
                  ": this is one of 3 parts of a model; call them NAME-00001-of-00003.gguf, which "
                  "would be this one, and so on, all in one folder");
        std::filesystem::copy_file(whole, folder / "w-00001-of-00002.gguf");
        std::filesystem::copy_file(whole, folder / "w-00002-of-00002.gguf");
        CHECK(error(folder / "w-00002-of-00002.gguf").find("it is a model's only file") !=
              std::string::npos);
        // One that says that it is the only one may be called so.
        std::filesystem::copy_file(whole, folder / "w-00001-of-00001.gguf");
        CHECK(error(folder / "w-00001-of-00001.gguf") == "");
        std::filesystem::copy_file(whole, folder / "w-00001-of-09999.gguf");
        CHECK(error(folder / "w-00001-of-09999.gguf").find("more than 1000 parts") !=
              std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "parts of different models are refused") {
        tests::ModelShape shape;
        shape.n_layers = 3;
        tests::make_model(shape, folder / "deeper.gguf");
        const auto others = tests::split_model(folder / "deeper.gguf", folder, "deeper", 3);
        const auto put = [&](std::size_t part) {
            std::filesystem::copy_file(others[part], parts[part],
                                       std::filesystem::copy_options::overwrite_existing);
        };
        put(2);
        CHECK(error(parts[0]).find("they do not belong together") != std::string::npos);
        // As many tensors, cut elsewhere.
        const auto halves = tests::split_model(whole, folder, "bare", 3, false);
        std::filesystem::copy_file(halves[2], parts[2],
                                   std::filesystem::copy_options::overwrite_existing);
        CHECK(error(parts[0]).find("is in a part before it, too") != std::string::npos);
        parts = tests::split_model(whole, folder, "m", 3);
        std::filesystem::copy_file(halves[0], parts[0],
                                   std::filesystem::copy_options::overwrite_existing);
        CHECK(error(parts[0]).find("its 3 parts have") != std::string::npos);
    }

    TEST_CASE_FIXTURE(Fixture, "any part that changes makes the model another, or unreadable") {
        FileStamp stamp;
        {
            const GgufFile file(parts[0]);
            stamp = file.stamp();
            CHECK_NOTHROW(GgufFile(parts[2], stamp));
            CHECK_NOTHROW(file.check());
            std::filesystem::last_write_time(
                parts[1], std::filesystem::last_write_time(parts[1]) - std::chrono::seconds(5));
            CHECK_THROWS_AS(file.check(), FileFailed);
            CHECK(file.failed()->load());
        }
        CHECK_THROWS_AS(GgufFile(parts[0], stamp), FileFailed);
        stamp = GgufFile(parts[0]).stamp();
        std::filesystem::remove(parts[2]);
        CHECK_THROWS_AS(GgufFile(parts[0], stamp), FileFailed);
    }
}

}  // namespace
}  // namespace shoal::model::split_test
