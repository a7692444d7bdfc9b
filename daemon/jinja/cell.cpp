#include "daemon/jinja/cell.hpp"

#include <string>

#include "daemon/jinja/error.hpp"

namespace shoal::jinja {

Cell::~Cell() {
    leave();
}

void Cell::leave() noexcept {
    if (meter_ == nullptr) return;
    meter_->alive_bytes_ -= bytes_;
    (previous_ != nullptr ? previous_->next_ : meter_->cells_) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
    meter_ = nullptr;
}

void Cell::adopt(Meter& meter, std::size_t bytes) {
    meter.check(bytes);
    meter_ = &meter;
    bytes_ = bytes;
    meter.alive_bytes_ += bytes;
    next_ = meter.cells_;
    if (next_ != nullptr) next_->previous_ = this;
    meter.cells_ = this;
}

void Cell::grow(std::size_t bytes) {
    if (meter_ == nullptr) return;
    meter_->check(bytes);
    bytes_ += bytes;
    meter_->alive_bytes_ += bytes;
}

void Cell::shrink(std::size_t bytes) noexcept {
    if (meter_ == nullptr) return;
    bytes_ -= bytes;
    meter_->alive_bytes_ -= bytes;
}

// A destroyed list releases its items: one inside the other without end would take stack without
// end. So they queue, and the outermost call destroys them one by one.
void Cell::bury() noexcept {
    struct Queue {
        Cell* first = nullptr;
        bool busy = false;
    };
    thread_local Queue queue;
    leave();  // which frees next_ for the queue
    next_ = queue.first;
    queue.first = this;
    if (queue.busy) return;
    queue.busy = true;
    while (queue.first != nullptr) {
        Cell* cell = queue.first;
        queue.first = cell->next_;
        delete cell;
    }
    queue.busy = false;
}

Meter::~Meter() {
    while (cells_ != nullptr) {
        // The last reference may be among those that it drops.
        const Ref<Cell> cell(cells_);
        cell->leave();
        cell->drop_references();
    }
}

void Meter::check(std::size_t bytes) const {
    if (bytes > limit_bytes_ - alive_bytes_) {
        fail_limit("its values take more than " + std::to_string(limit_bytes_) +
                   " bytes of memory");
    }
}

}  // namespace shoal::jinja
