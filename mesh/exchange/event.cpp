#include "mesh/exchange/event.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace shoal::mesh::exchange {

Event::Event() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (descriptor_ < 0) {
        throw std::system_error(errno, std::system_category(), "cannot make an eventfd");
    }
}

Event::~Event() {
    ::close(descriptor_);
}

void Event::signal() const noexcept {
    // Fails only when it is readable already, which is what is wanted.
    (void)::eventfd_write(descriptor_, 1);
}

void Event::clear() const noexcept {
    eventfd_t ignored = 0;
    (void)::eventfd_read(descriptor_, &ignored);
}

}  // namespace shoal::mesh::exchange
