// What devices keep of texts on their disks, block by block, and find there again.
#include <algorithm>
#include <set>
#include <utility>

#include "daemon/engine/batch.hpp"

namespace shoal {
namespace {

constexpr std::uint32_t kPositions = exec::KvCache::kBlockPositions;

}  // namespace

// Whether its beginning is coming from the disks, or another one's: then it waits. A block that
// this device has on its disk the others have as well, nearly always.
bool Batch::seek(Generation& generation) {
    if (files_ == nullptr) return false;
    if (recall_ || generation.sought()) return recall_.has_value();
    generation.set_sought();
    if (!generation.may_reuse()) return false;
    const exec::Sequence& sequence = generation.sequence();
    const std::uint32_t shared_until = *sequence.shared_until;
    // Its last token is to be computed.
    const auto names =
        block_names(sequence.tokens, shared_until, (sequence.tokens.size() - 1) / kPositions);
    const PrefixIndex::Match known = prefixes_.find(sequence);
    const std::uint32_t first = known.positions / kPositions;
    std::size_t end = first;
    while (end < names.size() && files_->holds(names[end])) ++end;
    if (end == first) return false;

    Recall recall{generation.place(),
                  sequence,
                  {names.begin(), names.begin() + static_cast<std::ptrdiff_t>(end)}};
    recall.text.id = next_sequence_++;
    recall.text.tokens.resize(end * kPositions);
    recall.text.computed = first * kPositions;
    if (first != 0) {
        prefixes_.use(known.from);
        static_cast<void>(blocks_.fork(known.from, recall.text.id, first * kPositions));
        root_.fork({known.from, recall.text.id, first * kPositions});
    }
    recall_ = std::move(recall);
    return true;
}

// Some blocks of it, between two steps of those that run.
exec::Status Batch::recall() {
    exec::BlockOrder order;
    order.read = true;
    order.sequence = recall_->text.id;
    order.first = recall_->text.computed / kPositions;
    const auto& names = recall_->names;
    const auto from = names.begin() + order.first;
    order.names.assign(from, from + std::min<std::ptrdiff_t>(order_blocks_, names.end() - from));
    const auto end = order.first + static_cast<std::uint32_t>(order.names.size());
    while (!blocks_.reserve(order.sequence, order.first * kPositions, end * kPositions)) {
        if (!evict() || !recall_) return exec::Status::ok;
    }
    std::uint32_t done = 0;
    const exec::Status status = root_.run(order, *files_, done);
    if (status != exec::Status::ok) return status;
    recall_->text.computed += done * kPositions;
    // Nobody finds what one device lacks: all of it is written anew, once it is computed.
    if (done != order.names.size()) {
        for (auto name = from + done; name != names.end(); ++name) files_->forget(*name);
    }
    if (done != order.names.size() || end == names.size()) end_recall();
    return exec::Status::ok;
}

// From now on it is a text as those that ended.
void Batch::end_recall() {
    const exec::Sequence text = std::move(recall_->text);
    recall_.reset();
    give_back(text);
}

bool Batch::may_keep() const noexcept {
    return files_ != nullptr && (!unwritten_.empty() || unwritten_version_ != prefixes_.version());
}

// As many texts as the folder has room for, so that none pushes out another one that is kept as
// well; the latest first.
void Batch::find_unwritten() {
    unwritten_.clear();
    unwritten_version_ = prefixes_.version();
    std::set<exec::BlockName> seen;
    for (const PrefixIndex::Kept& text : prefixes_.kept_texts()) {
        const auto names =
            block_names(text.tokens, text.shared_until, text.tokens.size() / kPositions);
        for (std::uint32_t b = 0; b < names.size(); ++b) {
            if (!seen.insert(names[b]).second) continue;
            if (seen.size() * block_bytes_ > files_->limit()) return;
            if (files_->holds(names[b])) {
                files_->use(names[b], b);
                continue;
            }
            Unwritten* last = unwritten_.empty() ? nullptr : &unwritten_.back();
            const bool follows = last != nullptr && last->text == text.id &&
                                 last->first + last->names.size() == b &&
                                 last->names.size() < order_blocks_;
            if (!follows) last = &unwritten_.emplace_back(Unwritten{text.id, b, {}});
            last->names.push_back(names[b]);
        }
    }
}

exec::Status Batch::keep() {
    if (unwritten_version_ != prefixes_.version()) find_unwritten();
    if (unwritten_.empty()) return exec::Status::ok;
    Unwritten next = std::move(unwritten_.front());
    unwritten_.pop_front();
    std::uint32_t done = 0;
    const exec::BlockOrder order{next.text, next.first, std::move(next.names), false};
    const exec::Status status = root_.run(order, *files_, done);
    if (status != exec::Status::ok) return status;
    // A disk is full, or slow: the next time something is new it is tried again.
    if (done != order.names.size()) unwritten_.clear();
    for (std::size_t i = done; i < order.names.size(); ++i) files_->forget(order.names[i]);
    return exec::Status::ok;
}

}  // namespace shoal
