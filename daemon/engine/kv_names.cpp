// What blocks and slices are called: hashes of all that their numbers depend on.
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "daemon/engine/kv_files.hpp"
#include "daemon/exec/kv_cache.hpp"

namespace shoal {
namespace {

// Another number when the same tokens come to have other bits, or a block another layout.
constexpr int kFormat = 1;

KvFiles::Name hash_of(std::span<const std::uint8_t> key, std::span<const std::uint8_t> bytes) {
    KvFiles::Name out;
    crypto_generichash(out.data(), out.size(), bytes.data(), bytes.size(), key.data(), key.size());
    return out;
}

std::string text_of(const shard::Slice& slice) {
    const auto range = [](shard::Range r) { return fmt::format("{}-{} ", r.begin, r.end); };
    return range(slice.q_heads) + range(slice.kv_heads) + range(slice.ffn) + range(slice.vocab);
}

}  // namespace

KvFiles::Name slice_name(const PlanSpec& spec, std::string_view cpu, std::string_view version) {
    const exec::ExecutorOptions& options = spec.options;
    // From how many rows on sums go in parts, and prompts are shared out, changes no bit of a row
    // whose kind is known (STEPS.md).
    std::string text =
        fmt::format("shoal kv {}\nversion {} cpu {} model {} rank {} of {} kv {} sums {} {}\n",
                    kFormat, version, cpu, spec.model->hash.hex(), spec.rank, spec.slices.size(),
                    static_cast<int>(options.kv_type), exec::name(options.collectives),
                    options.scatter_rows != 0 ? "in parts" : "whole");
    for (const shard::Slice& slice : spec.slices) text += text_of(slice) + '\n';
    // Who computes a row makes a difference where one device has the portable kernels: it is enough
    // that this one does not find its blocks.
    if (cpu == kernels::name(kernels::Isa::ref)) {
        for (const std::uint32_t share : options.row_shares.shares)
            text += fmt::format("{} ", share);
    }
    return hash_of({}, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::vector<exec::BlockName> block_names(std::span<const std::int32_t> tokens,
                                         std::uint32_t shared_until, std::size_t count) {
    constexpr std::uint32_t kBlock = exec::KvCache::kBlockPositions;
    std::vector<exec::BlockName> names;
    exec::BlockName before{};
    std::vector<std::uint8_t> bytes;
    const auto put = [&](std::uint32_t value) {
        for (int shift = 0; shift < 32; shift += 8) {
            bytes.push_back(static_cast<std::uint8_t>(value >> shift));
        }
    };
    for (std::size_t b = 0; b < count; ++b) {
        bytes.clear();
        // Where a block is shared out to its end, it is the same whatever comes behind it.
        put(std::min(shared_until, static_cast<std::uint32_t>(b + 1) * kBlock));
        for (const std::int32_t id : tokens.subspan(b * kBlock, kBlock)) {
            put(static_cast<std::uint32_t>(id));
        }
        names.push_back(before = hash_of(before, bytes));
    }
    return names;
}

KvFiles::Name SliceFiles::name(const exec::BlockName& block) const noexcept {
    return hash_of(slice_, block);
}

std::vector<KvFiles::Name> SliceFiles::names(std::span<const exec::BlockName> blocks) const {
    std::vector<KvFiles::Name> out;
    for (const exec::BlockName& block : blocks) out.push_back(name(block));
    return out;
}

std::uint32_t SliceFiles::write(std::uint32_t first, std::span<const exec::BlockName> blocks,
                                std::span<const std::span<std::byte>> places) {
    return files_.write(first, names(blocks), places);
}

std::uint32_t SliceFiles::read(std::uint32_t first, std::span<const exec::BlockName> blocks,
                               std::span<const std::span<std::byte>> places) {
    return files_.read(first, names(blocks), places);
}

}  // namespace shoal
