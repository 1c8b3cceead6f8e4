/* Stands between a program and its files: writes down what the program does to them, and lets chosen operations fail.
 *
 * Loaded with LD_PRELOAD. README.md in this directory says how the tests use it. Environment:
 *
 *   SEATKEEPER_DISK_DIR     the directory whose files are meant, an absolute path without symbolic links
 *   SEATKEEPER_DISK_TRACE   a file to which each change of those files is appended, with each response sent on a socket
 *   SEATKEEPER_DISK_FAULTS  a file that says which operation fails; see `struct fault`
 *
 * The shared memory of SQLite's WAL ("-shm") is not written down: SQLite makes it again after a crash.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* One record of the trace: this head, then `length` bytes. The numbers are those of the machine. */
struct record {
    uint32_t kind;
    uint32_t process;
    uint64_t file;   /* inode; of SENT: the port of the other side */
    uint64_t number; /* WRITE: offset. TRUNCATE: size. SYNC: a number that pairs begin and end. EXIT: status */
    uint64_t length;
};
enum { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, UNLINK, RENAME, SENT, EXIT, SYNC_FAILED };

/* Bytes of a response that are written down. */
#define SENT_MAX 65536
#define FILES_MAX 65536

/* What an open descriptor of the directory is; the name is "" for the directory itself. */
struct open_file {
    char *name;
    uint64_t inode;
    int traced;
};

static struct open_file files[FILES_MAX];
static const char *directory;
static size_t directory_length;
static const char *fault_file;
static const char *trace_file;
static int trace = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    __attribute__((constructor(101))) static void find_##name(void) { real_##name = dlsym(RTLD_NEXT, #name); }

REAL(int, open, const char *, int, ...)
REAL(int, openat, int, const char *, int, ...)
REAL(int, close, int)
REAL(ssize_t, read, int, void *, size_t)
REAL(ssize_t, pread, int, void *, size_t, off_t)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(int, ftruncate, int, off_t)
REAL(int, fsync, int)
REAL(int, fdatasync, int)
REAL(int, unlink, const char *)
REAL(int, rename, const char *, const char *)
REAL(int, link, const char *, const char *)
REAL(ssize_t, send, int, const void *, size_t, int)
REAL(ssize_t, sendmsg, int, const struct msghdr *, int)
REAL(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned)
REAL(ssize_t, sendfile, int, int, off_t *, size_t)

static void ended(int status, void *unused);

__attribute__((constructor(102))) static void start(void) {
    directory = getenv("SEATKEEPER_DISK_DIR");
    fault_file = getenv("SEATKEEPER_DISK_FAULTS");
    trace_file = getenv("SEATKEEPER_DISK_TRACE");
    if (directory == NULL) return;
    directory_length = strlen(directory);
    if (trace_file != NULL) {
        trace = real_open(trace_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (trace < 0) abort();
        on_exit(ended, NULL);
    }
}

/* ---- Which file ---- */

/* The name below the directory, or NULL: another file. */
static const char *name_of(const char *path) {
    static __thread char whole[PATH_MAX];
    if (directory == NULL || path == NULL) return NULL;
    if (path[0] != '/') {
        char current[PATH_MAX];
        if (getcwd(current, sizeof current) == NULL) return NULL;
        if (snprintf(whole, sizeof whole, "%s/%s", current, path) >= (int)sizeof whole) return NULL;
        path = strcmp(whole + strlen(current), "/.") == 0 ? current : whole;
        if (path == current) return strcmp(current, directory) == 0 ? "" : NULL;
    }
    if (strncmp(path, directory, directory_length) != 0) return NULL;
    if (path[directory_length] == '\0') return "";
    return path[directory_length] == '/' ? path + directory_length + 1 : NULL;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static struct open_file *file_of(int descriptor) {
    if (descriptor < 0 || descriptor >= FILES_MAX || files[descriptor].name == NULL) return NULL;
    return &files[descriptor];
}

static uint64_t inode_at(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 ? status.st_ino : 0;
}

/* ---- The trace ---- */

/* Operation and record are one step, for all threads and processes: the order of the records is the order of what was done. */
static void lock(void) {
    pthread_mutex_lock(&mutex);
    while (flock(trace, LOCK_EX) != 0 && errno == EINTR) {}
}

static void unlock(void) {
    int saved = errno;
    flock(trace, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

/* Between `lock` and `unlock`. */
static void record(uint32_t kind, uint64_t file, uint64_t number, const void *data, size_t length) {
    int saved = errno;
    struct record head = {kind, (uint32_t)getpid(), file, number, length};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, length}};
    if (real_writev(trace, parts, 2) != (ssize_t)(sizeof head + length)) abort();
    errno = saved;
}

static void ended(int status, void *unused) {
    (void)unused;
    lock();
    record(EXIT, 0, (uint64_t)(unsigned)status, NULL, 0);
    unlock();
}

/* Before the bytes go out, because the other side may have them before this call returns. */
static void sent(int socket, const struct iovec *parts, size_t count) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int saved = errno;
    if (trace >= 0 && getpeername(socket, (struct sockaddr *)&peer, &size) == 0 && peer.ss_family == AF_INET) {
        static __thread char data[SENT_MAX];
        size_t length = 0;
        for (size_t i = 0; i < count; i++) {
            size_t part = parts[i].iov_len;
            if (part > SENT_MAX - length) part = SENT_MAX - length;
            memcpy(data + length, parts[i].iov_base, part);
            length += part;
        }
        lock();
        record(SENT, ntohs(((struct sockaddr_in *)&peer)->sin_port), 0, data, length);
        unlock();
    }
    errno = saved;
}

/* ---- Faults ---- */

/* The fault file has one line: GENERATION OPERATION NAME NTH COUNT ERRNO
 *
 * Of the operations of this kind (open, read, write, short, truncate, sync, unlink, rename) on files whose name ends with NAME
 * ("*": on all), the NTH since the generation changed, and COUNT of them in all (0: each one from then on), fail with ERRNO.
 * "short" is a write of which only half is done. A line is appended to the fault file's name with ".fired" for each. */
struct fault {
    long generation;
    char operation[16];
    char name[64];
    long nth, count;
    int error;
};

static int fails(const char *operation, const char *name) {
    static long generation = -1, seen;
    if (fault_file == NULL) return 0;
    int saved = errno, error = 0;
    int descriptor = real_open(fault_file, O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        char line[256];
        ssize_t length = real_read(descriptor, line, sizeof line - 1);
        real_close(descriptor);
        struct fault fault;
        line[length < 0 ? 0 : length] = '\0';
        if (sscanf(line, "%ld %15s %63s %ld %ld %d", &fault.generation, fault.operation, fault.name, &fault.nth,
                   &fault.count, &fault.error) == 6 &&
            strcmp(operation, fault.operation) == 0 && (fault.name[0] == '*' || ends_with(name, fault.name))) {
            pthread_mutex_lock(&mutex);
            if (generation != fault.generation) {
                generation = fault.generation;
                seen = 0;
            }
            seen++;
            if (seen >= fault.nth && (fault.count == 0 || seen < fault.nth + fault.count)) {
                error = fault.error;
                char path[PATH_MAX];
                snprintf(path, sizeof path, "%s.fired", fault_file);
                int fired = real_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
                length = snprintf(line, sizeof line, "%ld %s %s\n", fault.generation, operation, name);
                if (fired < 0 || real_write(fired, line, length) != length) abort();
                real_close(fired);
            }
            pthread_mutex_unlock(&mutex);
        }
    }
    errno = error != 0 ? error : saved;
    return error != 0;
}

/* ---- What a failed sync lost ---- */

/* After a sync that failed, programs still read from the system's cache what was written since the last sync; the disk does not have it. A
 * program that syncs a log which it has open only for reading is about to have the cache dropped, and then reads what the disk has: here
 * zeros. Calls of the system do not pass here, so the sync stands for both. The lost bytes of one log are enough. */
struct lost {
    uint64_t inode;
    off_t begin, end;
};

/* In this process, since its last sync. */
static struct lost unsynced;

static const char *lost_file(void) {
    static __thread char path[PATH_MAX];
    snprintf(path, sizeof path, "%s.lost", trace_file);
    return path;
}

static void keep_lost(const struct lost *lost) {
    if (lost->begin >= lost->end) {
        real_unlink(lost_file());
        return;
    }
    int descriptor = real_open(lost_file(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0 || real_write(descriptor, lost, sizeof *lost) != sizeof *lost) abort();
    real_close(descriptor);
}

static int find_lost(uint64_t inode, struct lost *lost) {
    int saved = errno, found = 0;
    int descriptor = real_open(lost_file(), O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        found = real_read(descriptor, lost, sizeof *lost) == sizeof *lost && lost->inode == inode;
        real_close(descriptor);
    }
    errno = saved;
    return found;
}

/* These are between `lock` and `unlock`. A log is written from its begin to its end. */
static void log_written(uint64_t inode, off_t begin, off_t end) {
    struct lost lost;
    if (unsynced.inode != inode || unsynced.begin >= unsynced.end) unsynced = (struct lost){inode, begin, end};
    if (begin < unsynced.begin) unsynced.begin = begin;
    if (end > unsynced.end) unsynced.end = end;
    if (find_lost(inode, &lost) && begin < lost.end && end > lost.begin) {
        lost.begin = end;
        keep_lost(&lost);
    }
}

static void log_synced(uint64_t inode, int is_failed) {
    if (unsynced.inode != inode) return;
    if (is_failed) keep_lost(&unsynced);
    unsynced = (struct lost){0, 0, 0};
}

static void log_reread(const char *name, uint64_t inode) {
    struct lost lost;
    if (!find_lost(inode, &lost)) return;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int descriptor = real_open(path, O_WRONLY | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0) abort();
    off_t end = lost.end < status.st_size ? lost.end : status.st_size;
    static const char zeros[4096];
    while (lost.begin < end) {
        size_t length = end - lost.begin < (off_t)sizeof zeros ? (size_t)(end - lost.begin) : sizeof zeros;
        ssize_t written = real_pwrite(descriptor, zeros, length, lost.begin);
        if (written <= 0) abort();
        lost.begin += written;
    }
    real_close(descriptor);
    real_unlink(lost_file());
}

/* ---- Files ---- */

static int opened(int descriptor, const char *name, int is_new) {
    if (descriptor >= FILES_MAX) abort();
    if (descriptor < 0) return descriptor;
    struct stat status;
    if (fstat(descriptor, &status) != 0) abort();
    struct open_file *file = &files[descriptor];
    free(file->name);
    file->name = strdup(name);
    file->inode = status.st_ino;
    file->traced = trace >= 0 && !ends_with(name, "-shm");
    if (file->traced && is_new) record(CREATE, file->inode, 0, name, strlen(name));
    return descriptor;
}

static int open_here(int at, const char *path, int flags, mode_t mode) {
    const char *name = at == AT_FDCWD || path[0] == '/' ? name_of(path) : NULL;
    if (name == NULL) return at == AT_FDCWD ? real_open(path, flags, mode) : real_openat(at, path, flags, mode);
    char own[PATH_MAX];
    snprintf(own, sizeof own, "%s", name);
    if (fails("open", own)) return -1;
    if (trace < 0) return opened(real_open(path, flags, mode), own, 0);
    lock();
    struct stat status;
    int is_new = (flags & O_CREAT) != 0 && stat(path, &status) != 0;
    int descriptor = opened(real_open(path, flags, mode), own, is_new);
    if (descriptor >= 0 && (flags & O_TRUNC) != 0 && !is_new && files[descriptor].traced)
        record(TRUNCATE, files[descriptor].inode, 0, NULL, 0);
    unlock();
    return descriptor;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags, mode) return open_here(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return open_here(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_here(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_here(at, path, flags | O_LARGEFILE, mode); }

int close(int descriptor) {
    struct open_file *file = file_of(descriptor);
    if (file != NULL) {
        char *name = file->name;
        file->name = NULL;
        free(name);
    }
    return real_close(descriptor);
}

ssize_t read(int descriptor, void *data, size_t length) {
    struct open_file *file = file_of(descriptor);
    if (file != NULL && fails("read", file->name)) return -1;
    return real_read(descriptor, data, length);
}

ssize_t pread(int descriptor, void *data, size_t length, off_t offset) {
    struct open_file *file = file_of(descriptor);
    if (file != NULL && fails("read", file->name)) return -1;
    return real_pread(descriptor, data, length, offset);
}

ssize_t pread64(int descriptor, void *data, size_t length, off64_t offset) { return pread(descriptor, data, length, offset); }

/* `offset` -1: where the descriptor stands. */
static ssize_t write_at(int descriptor, struct open_file *file, const void *data, size_t length, off_t offset) {
    if (fails("write", file->name)) return -1;
    if (length > 1 && fails("short", file->name)) length /= 2;
    if (!file->traced) return offset < 0 ? real_write(descriptor, data, length) : real_pwrite(descriptor, data, length, offset);
    lock();
    off_t at = offset;
    if (offset < 0) at = (fcntl(descriptor, F_GETFL) & O_APPEND) != 0 ? lseek(descriptor, 0, SEEK_END) : lseek(descriptor, 0, SEEK_CUR);
    ssize_t written = offset < 0 ? real_write(descriptor, data, length) : real_pwrite(descriptor, data, length, offset);
    if (written > 0) record(WRITE, file->inode, at, data, written);
    if (written > 0 && ends_with(file->name, "-wal")) log_written(file->inode, at, at + written);
    unlock();
    return written;
}

ssize_t write(int descriptor, const void *data, size_t length) {
    struct open_file *file = file_of(descriptor);
    return file == NULL ? real_write(descriptor, data, length) : write_at(descriptor, file, data, length, -1);
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    struct open_file *file = file_of(descriptor);
    return file == NULL ? real_pwrite(descriptor, data, length, offset) : write_at(descriptor, file, data, length, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset) { return pwrite(descriptor, data, length, offset); }

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    struct open_file *file = file_of(descriptor);
    if (file == NULL) {
        if (descriptor > 2) sent(descriptor, parts, count);
        return real_writev(descriptor, parts, count);
    }
    /* A short write is allowed: the caller writes the rest. */
    return count == 0 ? 0 : write_at(descriptor, file, parts[0].iov_base, parts[0].iov_len, -1);
}

int ftruncate(int descriptor, off_t size) {
    struct open_file *file = file_of(descriptor);
    if (file == NULL) return real_ftruncate(descriptor, size);
    if (fails("truncate", file->name)) return -1;
    if (!file->traced) return real_ftruncate(descriptor, size);
    lock();
    int result = real_ftruncate(descriptor, size);
    if (result == 0) record(TRUNCATE, file->inode, size, NULL, 0);
    unlock();
    return result;
}

int ftruncate64(int descriptor, off64_t size) { return ftruncate(descriptor, size); }

static int sync_with(int (*real)(int), int descriptor) {
    struct open_file *file = file_of(descriptor);
    if (file == NULL) return real(descriptor);
    if (!file->traced) return fails("sync", file->name) ? -1 : real(descriptor);
    static uint64_t syncs;
    uint64_t inode = file->inode;
    lock();
    uint64_t number = ++syncs;
    record(SYNC_BEGIN, inode, number, NULL, 0);
    unlock();
    int result = fails("sync", file->name) ? -1 : real(descriptor);
    lock();
    record(result == 0 ? SYNC_END : SYNC_FAILED, inode, number, NULL, 0);
    if (ends_with(file->name, "-wal")) {
        log_synced(inode, result != 0);
        if ((fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_RDONLY) log_reread(file->name, inode);
    }
    unlock();
    return result;
}

int fsync(int descriptor) { return sync_with(real_fsync, descriptor); }
int fdatasync(int descriptor) { return sync_with(real_fdatasync, descriptor); }

int unlink(const char *path) {
    const char *name = name_of(path);
    if (name == NULL) return real_unlink(path);
    if (fails("unlink", name)) return -1;
    if (trace < 0 || ends_with(name, "-shm")) return real_unlink(path);
    lock();
    uint64_t inode = inode_at(path);
    int result = real_unlink(path);
    if (result == 0) record(UNLINK, inode, 0, name, strlen(name));
    /* The next file may have its inode. */
    struct lost lost;
    if (result == 0 && find_lost(inode, &lost)) real_unlink(lost_file());
    unlock();
    return result;
}

/* Both names, with a NUL between them. */
static void record_names(uint32_t kind, uint64_t inode, const char *from, const char *to) {
    char names[2 * PATH_MAX];
    int length = snprintf(names, sizeof names, "%s%c%s", from, '\0', to);
    record(kind, inode, 0, names, length);
}

int rename(const char *from, const char *to) {
    const char *found = name_of(from);
    if (found == NULL) return real_rename(from, to);
    char from_name[PATH_MAX];
    snprintf(from_name, sizeof from_name, "%s", found);
    const char *to_name = name_of(to);
    if (fails("rename", from_name)) return -1;
    if (trace < 0 || to_name == NULL) return real_rename(from, to);
    lock();
    uint64_t inode = inode_at(from);
    int result = real_rename(from, to);
    if (result == 0) record_names(RENAME, inode, from_name, to_name);
    unlock();
    return result;
}

int link(const char *from, const char *to) {
    const char *name = name_of(to);
    if (name == NULL || trace < 0) return real_link(from, to);
    lock();
    int result = real_link(from, to);
    if (result == 0) record(CREATE, inode_at(to), 0, name, strlen(name));
    unlock();
    return result;
}

/* The kernel would copy past us; callers fall back to read and write. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    if (file_of(from) == NULL && file_of(to) == NULL) return real_copy_file_range(from, from_at, to, to_at, length, flags);
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile(int to, int from, off_t *offset, size_t length) {
    if (file_of(from) == NULL && file_of(to) == NULL) return real_sendfile(to, from, offset, length);
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) { return sendfile(to, from, offset, length); }

/* ---- Responses ---- */

ssize_t send(int socket, const void *data, size_t length, int flags) {
    struct iovec part = {(void *)data, length};
    sent(socket, &part, 1);
    return real_send(socket, data, length, flags);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    sent(socket, message->msg_iov, message->msg_iovlen);
    return real_sendmsg(socket, message, flags);
}
