// AssignLicense on gSOAP and SQLite with as little as a careful developer could get away with: what Seatkeeper is
// compared with.
//
//   peer make DBFILE POOLS SEATS TAKEN       makes a database: POOLS entities (1000 and up) with SEATS seats each, TAKEN of them taken
//   peer serve DBFILE PORT USER PASSWORD     one commit per call, one thread per core
//   peer group DBFILE PORT USER PASSWORD     calls that wait at the same time share one commit, one thread per connection
//
// README.md in bench/ says what the peer leaves out.

#include "soapH.h"
#include "LicenseManagementService.nsmap"

#include <sqlite3.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdexcept>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <thread>
#include <vector>

namespace {

constexpr int kIdleSeconds = 60;
constexpr int kBacklog = 1024;

/// What AssignLicense answers. Refusals are ordinary answers, not SOAP faults.
struct Answer {
    int result;
    const char *code;
    const char *message;
};

constexpr Answer kSuccess{0, "Success", ""};
constexpr Answer kUnexpected{1, "UnexpectedError", "The request could not be carried out"};
constexpr Answer kInvalidInput{2, "InvalidInputParameters", "Username is required"};
constexpr Answer kInvalidCredentials{3, "InvalidSoapCredentials", "Invalid SOAP credentials"};
constexpr Answer kAlreadyExists{52, "AlreadyExists", "User has already been assigned a license of this type"};
constexpr Answer kNoFreeSeat{1003, "NoFreeSeat", "No free seat is left"};

struct Request {
    const char *caller;
    const char *password;
    const char *username;
    int pool;
    int type;
};

/// A prepared statement that is kept for the life of the process.
class Statement {
public:
    Statement(sqlite3 *db, const char *sql) {
        if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt_, nullptr) != SQLITE_OK)
            throw std::runtime_error(std::string(sqlite3_errmsg(db)) + " in " + sql);
    }
    ~Statement() { sqlite3_finalize(stmt_); }
    Statement(const Statement &) = delete;
    Statement &operator=(const Statement &) = delete;

    Statement &bind(int at, sqlite3_int64 value) {
        sqlite3_bind_int64(stmt_, at, value);
        return *this;
    }
    /// `value` must stay in place until the statement is reset.
    Statement &bind(int at, const char *value) {
        sqlite3_bind_text(stmt_, at, value, -1, SQLITE_STATIC);
        return *this;
    }
    /// The first column of the first row; -1: there is no row. Resets the statement.
    sqlite3_int64 value() {
        const int rc = sqlite3_step(stmt_);
        const sqlite3_int64 found = rc == SQLITE_ROW ? sqlite3_column_int64(stmt_, 0) : -1;
        finish(rc);
        return found;
    }
    /// Runs a statement without rows. False: a constraint refused it.
    bool run() {
        const int rc = sqlite3_step(stmt_);
        if ((rc & 0xff) == SQLITE_CONSTRAINT) {
            sqlite3_reset(stmt_);
            return false;
        }
        finish(rc);
        return true;
    }

private:
    void finish(int rc) {
        sqlite3 *db = sqlite3_db_handle(stmt_);
        const std::string message = rc == SQLITE_ROW || rc == SQLITE_DONE ? "" : sqlite3_errmsg(db);
        sqlite3_reset(stmt_);
        if (!message.empty())
            throw std::runtime_error(message);
    }

    sqlite3_stmt *stmt_ = nullptr;
};

class Database {
public:
    explicit Database(const char *file) {
        // No mutex inside SQLite: at most one thread is in here at a time.
        const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        if (sqlite3_open_v2(file, &db, flags, nullptr) != SQLITE_OK)
            throw std::runtime_error(std::string("cannot open the database: ") + sqlite3_errmsg(db));
        sqlite3_busy_timeout(db, 5000);
        run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384");
    }
    ~Database() { sqlite3_close(db); }
    Database(const Database &) = delete;
    Database &operator=(const Database &) = delete;

    void run(const char *sql) {
        if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
            throw std::runtime_error(std::string(sqlite3_errmsg(db)) + " in " + sql);
    }

    sqlite3 *db = nullptr;
};

constexpr const char *kSchema = R"(
    CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE UNIQUE);
    CREATE TABLE pool (id INTEGER PRIMARY KEY, seats_total INTEGER NOT NULL,
                       seats_in_use INTEGER NOT NULL CHECK (seats_in_use BETWEEN 0 AND seats_total));
    CREATE TABLE seat (user_id INTEGER NOT NULL, license_type INTEGER NOT NULL, pool_id INTEGER NOT NULL,
                       PRIMARY KEY (user_id, license_type)) WITHOUT ROWID;
)";

constexpr int kFirstPool = 1000;

void make(const char *file, int pools, int seats, int taken) {
    Database database(file);
    database.run("BEGIN");
    database.run(kSchema);
    {
        Statement pool(database.db, "INSERT INTO pool VALUES (?1, ?2, ?3)");
        Statement user(database.db, "INSERT INTO user (name) VALUES (?1)");
        Statement seat(database.db, "INSERT INTO seat VALUES (?1, 1, ?2)");
        for (int p = 0; p < pools; p++)
            pool.bind(1, kFirstPool + p).bind(2, seats).bind(3, taken).run();
        // Users came one after the other, each to another pool: the seats of a pool lie apart, as they do after years.
        for (int n = 0; n < taken; n++)
            for (int p = 0; p < pools; p++) {
                const std::string name = "old-" + std::to_string(p) + "-" + std::to_string(n);
                user.bind(1, name.c_str()).run();
                seat.bind(1, sqlite3_last_insert_rowid(database.db)).bind(2, kFirstPool + p).run();
            }
    }
    database.run("COMMIT");
}

/// The seat rules on one connection, whose users take turns.
class Store {
public:
    /// `user` and `password` are taken as proven here: no argon2 per call.
    Store(const char *file, const char *user, const char *password) : on_(file), user_(user), password_(password) {}

    /// One call, one commit.
    Answer assign(const Request &request) {
        const std::lock_guard<std::mutex> turn(turn_);
        begin_.run();
        try {
            const Answer answer = assign_in_transaction(request);
            // A refusal has written nothing that may stay.
            (answer.result == 0 ? commit_ : rollback_).run();
            return answer;
        } catch (...) {
            if (!sqlite3_get_autocommit(on_.db))
                rollback_.run();
            throw;
        }
    }

    /// Several calls, one commit. Each is undone alone if it is refused.
    void assign_group(const std::vector<std::pair<const Request *, Answer *>> &group) {
        begin_.run();
        try {
            for (const auto &[request, answer] : group) {
                savepoint_.run();
                *answer = assign_in_transaction(*request);
                if (answer->result != 0)
                    undo_.run();
                release_.run();
            }
            commit_.run();
        } catch (const std::exception &error) {
            std::fprintf(stderr, "peer: %s\n", error.what());
            if (!sqlite3_get_autocommit(on_.db))
                rollback_.run();
            for (const auto &[request, answer] : group)
                *answer = kUnexpected;
        }
    }

private:
    Answer assign_in_transaction(const Request &request) {
        if (user_ != request.caller || password_ != request.password)
            return kInvalidCredentials;
        if (*request.username == '\0')
            return kInvalidInput;
        sqlite3_int64 user = find_user_.bind(1, request.username).value();
        if (user < 0) {
            enrol_.bind(1, request.username).run();
            user = sqlite3_last_insert_rowid(on_.db);
        }
        if (!take_.bind(1, user).bind(2, request.type).bind(3, request.pool).run())
            return kAlreadyExists;
        if (!count_.bind(1, request.pool).run() || sqlite3_changes(on_.db) != 1)
            return kNoFreeSeat;
        return kSuccess;
    }

    Database on_;
    std::mutex turn_;
    const std::string user_;
    const std::string password_;
    Statement begin_{on_.db, "BEGIN IMMEDIATE"};
    Statement commit_{on_.db, "COMMIT"};
    Statement rollback_{on_.db, "ROLLBACK"};
    Statement savepoint_{on_.db, "SAVEPOINT one"};
    Statement undo_{on_.db, "ROLLBACK TO one"};
    Statement release_{on_.db, "RELEASE one"};
    Statement find_user_{on_.db, "SELECT id FROM user WHERE name = ?1"};
    Statement enrol_{on_.db, "INSERT INTO user (name) VALUES (?1)"};
    Statement take_{on_.db, "INSERT INTO seat (user_id, license_type, pool_id) VALUES (?1, ?2, ?3)"};
    Statement count_{on_.db, "UPDATE pool SET seats_in_use = seats_in_use + 1 WHERE id = ?1"};
};

/// Lets calls that wait at the same time share a commit: one thread writes whatever has gathered while it wrote last.
class Group {
public:
    explicit Group(Store &store) : store_(store), writer_([this] { write(); }) { writer_.detach(); }

    Answer assign(const Request &request) {
        Waiting self{&request, kUnexpected, false, {}};
        std::unique_lock<std::mutex> lock(mutex_);
        queue_.push_back(&self);
        filled_.notify_one();
        self.done.wait(lock, [&] { return self.is_done; });
        return self.answer;
    }

private:
    struct Waiting {
        const Request *request;
        Answer answer;
        bool is_done;
        std::condition_variable done;
    };

    [[noreturn]] void write() {
        std::vector<Waiting *> taken;
        std::vector<std::pair<const Request *, Answer *>> group;
        for (;;) {
            {
                std::unique_lock<std::mutex> lock(mutex_);
                filled_.wait(lock, [&] { return !queue_.empty(); });
                taken.assign(queue_.begin(), queue_.end());
                queue_.clear();
            }
            group.clear();
            for (Waiting *waiting : taken)
                group.emplace_back(waiting->request, &waiting->answer);
            store_.assign_group(group);
            const std::lock_guard<std::mutex> lock(mutex_);
            for (Waiting *waiting : taken) {
                waiting->is_done = true;
                waiting->done.notify_one();
            }
        }
    }

    Store &store_;
    std::mutex mutex_;
    std::condition_variable filled_;
    std::deque<Waiting *> queue_;
    std::thread writer_;
};

/// What a call is handed to: one of the two.
struct Service {
    Store *store;
    Group *group;
};

const char *or_empty(const char *text) { return text ? text : ""; }

/// Called by gSOAP between two requests of a connection. Without it the memory of every request would stay until the
/// connection closes.
int free_request(struct soap *soap) {
    soap_destroy(soap);
    soap_end(soap);
    return SOAP_OK;
}

void end_connection(struct soap *soap) {
    soap_closesock(soap);
    soap_destroy(soap);
    soap_end(soap);
    soap_free(soap);
}

/// One thread per connection: gSOAP's own loop.
void serve_connection(struct soap *soap) {
    soap_serve(soap);
    end_connection(soap);
}

/// One thread per core: each takes the next connection that has a request, serves that one request, and gives the
/// connection back.
void serve_ready(int ready) {
    epoll_event event{};
    for (;;) {
        if (epoll_wait(ready, &event, 1, -1) != 1)
            continue;
        auto *soap = static_cast<struct soap *>(event.data.ptr);
        do {
            if (soap_begin_serve(soap) != SOAP_OK || soap_serve_request(soap) != SOAP_OK) {
                if (soap->error && soap->error < SOAP_STOP)
                    soap_send_fault(soap);
                soap->keep_alive = 0;
            }
            free_request(soap);
            // Whole requests that came together are in gSOAP's buffer, where epoll does not see them.
        } while (soap->keep_alive && soap->bufidx < soap->buflen);
        if (!soap->keep_alive) {
            end_connection(soap);
            continue;
        }
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
        if (epoll_ctl(ready, EPOLL_CTL_MOD, soap->socket, &event) != 0)
            end_connection(soap);
    }
}

int serve(const char *file, const char *port, const char *user, const char *password, bool in_groups) {
    Store store(file, user, password);
    Service service{&store, in_groups ? new Group(store) : nullptr};
    // XML_TREE: no id/href graphs in this contract, so none are looked for. UTFSTRING: char* holds UTF-8.
    struct soap *listener = soap_new1(SOAP_IO_KEEPALIVE | SOAP_XML_TREE | SOAP_C_UTFSTRING);
    listener->max_keep_alive = 0; // any number of requests on a connection
    listener->recv_timeout = listener->send_timeout = kIdleSeconds;
    listener->bind_flags = SO_REUSEADDR;
    listener->fserveloop = free_request;
    listener->user = &service;
    if (!soap_valid_socket(soap_bind(listener, "127.0.0.1", std::atoi(port), kBacklog))) {
        soap_print_fault(listener, stderr);
        return 1;
    }
    const int ready = epoll_create1(0);
    if (!in_groups)
        for (unsigned core = 0; core < std::max(1u, std::thread::hardware_concurrency()); core++)
            std::thread(serve_ready, ready).detach();
    std::fprintf(stderr, "peer: SQLite %s, listening on 127.0.0.1:%s\n", sqlite3_libversion(), port);
    for (;;) {
        if (!soap_valid_socket(soap_accept(listener))) {
            if (listener->errnum == EINTR || listener->errnum == EMFILE || listener->errnum == ECONNABORTED)
                continue;
            soap_print_fault(listener, stderr);
            return 1;
        }
        struct soap *soap = soap_copy(listener);
        const int on = 1;
        setsockopt(soap->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (in_groups) {
            std::thread(serve_connection, soap).detach();
            continue;
        }
        epoll_event event{};
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
        event.data.ptr = soap;
        if (epoll_ctl(ready, EPOLL_CTL_ADD, soap->socket, &event) != 0)
            end_connection(soap);
    }
}

} // namespace

/// The operation, called by the code that soapcpp2 makes.
int ns__AssignLicense(struct soap *soap, ns__AssignLicenseRequest *request, ns__AssignLicenseResponse &response) {
    const ns__AuthHeader *caller = soap->header ? soap->header->ns__AuthHeader_ : nullptr;
    const Request asked{or_empty(caller ? caller->UserName : nullptr), or_empty(caller ? caller->Password : nullptr),
                        or_empty(request ? request->Username : nullptr), request ? request->LicenseProviderEntityId : 0,
                        request ? request->LicenseType : 0};
    Answer answer = kUnexpected;
    try {
        const auto *service = static_cast<Service *>(soap->user);
        answer = service->group ? service->group->assign(asked) : service->store->assign(asked);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "peer: %s\n", error.what());
    }
    soap->header = nullptr; // or the answer would carry the caller's password back
    response.AssignLicenseResult = soap_new_ns__AssignLicenseResult(soap);
    response.AssignLicenseResult->Result = soap_new_ns__WebServiceResult(soap);
    response.AssignLicenseResult->Result->Result = answer.result;
    response.AssignLicenseResult->Result->Code = const_cast<char *>(answer.code);
    response.AssignLicenseResult->Result->Message = const_cast<char *>(answer.message);
    return SOAP_OK;
}

int main(int argc, char **argv) {
    const std::string verb = argc == 6 ? argv[1] : "";
    std::signal(SIGPIPE, SIG_IGN);
    try {
        if (verb == "make") {
            make(argv[2], std::atoi(argv[3]), std::atoi(argv[4]), std::atoi(argv[5]));
            return 0;
        }
        if (verb == "serve" || verb == "group")
            return serve(argv[2], argv[3], argv[4], argv[5], verb == "group");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "peer: %s\n", error.what());
        return 1;
    }
    std::fprintf(stderr, "usage: %s make DBFILE POOLS SEATS TAKEN | serve|group DBFILE PORT USER PASSWORD\n", argv[0]);
    return 2;
}
