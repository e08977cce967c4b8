// Boost's interprocess message queue behind the C interface that src/lib.rs describes.

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstdio>
#include <sys/types.h>

using boost::interprocess::message_queue;

namespace {
template <typename Result, typename Work> Result told(Result failed, Work work) {
    try {
        return work();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "usysv-bench: boost: %s\n", error.what());
        return failed;
    }
}
}

extern "C" int contender_create(const char *, const char *name, size_t depth, size_t len) {
    return told(-1, [&] {
        message_queue made(boost::interprocess::create_only, name, depth, len);
        return 0;
    });
}

extern "C" void *contender_attach(const char *, const char *name, size_t, size_t, int) {
    return told<void *>(nullptr, [&] { return new message_queue(boost::interprocess::open_only, name); });
}

extern "C" int contender_send(void *end, const void *bytes, size_t len) {
    return told(-1, [&] {
        static_cast<message_queue *>(end)->send(bytes, len, 0);
        return 0;
    });
}

extern "C" ssize_t contender_receive(void *end, void *buffer, size_t room, int wait) {
    return told<ssize_t>(-1, [&]() -> ssize_t {
        auto queue = static_cast<message_queue *>(end);
        message_queue::size_type len;
        unsigned priority;
        if (wait) {
            queue->receive(buffer, room, len, priority);
        } else if (!queue->try_receive(buffer, room, len, priority)) {
            return -2;
        }
        return len;
    });
}
