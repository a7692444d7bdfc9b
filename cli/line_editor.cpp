#include "cli/line_editor.hpp"

#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <string>
#include <string_view>

#include "cli/exit_codes.hpp"
#include "cli/history.hpp"

namespace shoal::cli {
namespace {

constexpr wchar_t kReplacement = 0xFFFD;
/// More than that is no message; the rest of a paste is dropped.
constexpr std::size_t kLongestPaste = 1u << 20;
constexpr wchar_t kPasteEnd[] = L"\033[201~";
/// A terminal that knows it puts marks around what is pasted.
constexpr char kMarkPastes[] = "\033[?2004h";
constexpr char kDoNotMarkPastes[] = "\033[?2004l";

/// Bytes of the character after its first one.
int bytes_to_follow(unsigned char lead) noexcept {
    return lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
}

bool terminal_is_dumb() {
    const char* kind = std::getenv("TERM");
    return kind == nullptr || std::strcmp(kind, "dumb") == 0;
}

}  // namespace

struct LineEditor::State {
    State(Signals& s, std::FILE* o, bool c) : signals(s), out(o), color(c) {}
    ~State() {
        if (editor != nullptr) el_end(editor);
        if (history != nullptr) history_end(history);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    /// The next byte of standard input; -1 at its end, or when a signal has come.
    int next_byte() {
        while (at == filled) {
            pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {signals.descriptor(), POLLIN, 0}};
            if (poll(fds, 2, -1) < 0) {
                if (errno == EINTR) continue;
                return -1;
            }
            if (fds[1].revents != 0) {
                signal = signals.take();
                if (signal != 0) return -1;
                continue;
            }
            const ssize_t size = ::read(STDIN_FILENO, buffer, sizeof buffer);
            if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (size <= 0) return -1;
            at = 0;
            filled = static_cast<std::size_t>(size);
        }
        return static_cast<unsigned char>(buffer[at++]);
    }

    /// Decodes UTF-8 itself, so that a byte that is none is one wrong character and no end.
    bool next_character(wchar_t& character) {
        const int lead = next_byte();
        if (lead < 0) return false;
        const int more = bytes_to_follow(static_cast<unsigned char>(lead));
        if (lead < 0x80 || more == 0) {
            character = lead < 0x80 ? static_cast<wchar_t>(lead) : kReplacement;
            return true;
        }
        wchar_t code = lead & (0x3F >> more);
        for (int i = 0; i < more; ++i) {
            const int byte = next_byte();
            if (byte < 0) return false;
            if ((byte & 0xC0) != 0x80) {
                --at;  // It begins another one.
                code = kReplacement;
                break;
            }
            code = code << 6 | (byte & 0x3F);
        }
        const bool valid = code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
        character = valid ? code : kReplacement;
        return true;
    }

    static State& of(EditLine* editor) {
        void* data = nullptr;
        el_get(editor, EL_CLIENTDATA, &data);
        return *static_cast<State*>(data);
    }

    // What libedit calls. The shapes are its own.
    static int get_character(EditLine* editor, wchar_t* character) {
        return of(editor).next_character(*character) ? 1 : -1;
    }
    static char* get_prompt(EditLine* editor) { return of(editor).prompt.data(); }
    static unsigned char insert_newline(EditLine* editor, wint_t) {
        return el_winsertstr(editor, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
    }
    /// Takes all that follows up to the mark at its end, so that newlines in it send nothing.
    static unsigned char paste(EditLine* editor, wint_t) {
        constexpr std::wstring_view kEnd = kPasteEnd;
        std::wstring text;
        std::wstring latest;
        for (wchar_t c = 0; of(editor).next_character(c);) {
            latest += c;
            if (latest.size() > kEnd.size()) latest.erase(0, 1);
            if (text.size() < kLongestPaste + kEnd.size()) text += c == '\r' ? L'\n' : c;
            if (latest == kEnd) break;
        }
        if (text.ends_with(kEnd)) text.resize(text.size() - kEnd.size());
        std::erase_if(text,
                      [](wchar_t c) { return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F; });
        if (text.empty()) return CC_NORM;
        return el_winsertstr(editor, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    }

    void bind_keys() {
        // Of names that are not wide it would make copies that nobody frees.
        el_wset(editor, EL_ADDFN, L"shoal-newline", L"Insert a newline", insert_newline);
        el_wset(editor, EL_ADDFN, L"shoal-paste", L"Insert what is pasted", paste);
        constexpr const char* kKeys[][2] = {
            {"\\e\r", "shoal-newline"},        {"\\e\n", "shoal-newline"},
            {"\\e[200~", "shoal-paste"},       {"^R", "em-inc-search-prev"},
            {"\\e[3~", "ed-delete-next-char"}, {"\\e[H", "ed-move-to-beg"},
            {"\\e[F", "ed-move-to-end"},       {"\\e[1~", "ed-move-to-beg"},
            {"\\e[4~", "ed-move-to-end"},      {"\\e[1;5C", "em-next-word"},
            {"\\e[1;5D", "ed-prev-word"},
        };
        for (const auto& key : kKeys) el_set(editor, EL_BIND, key[0], key[1], nullptr);
    }

    void show(std::string_view text) const {
        std::fwrite(text.data(), 1, text.size(), out);
        std::fflush(out);
    }

    Signals& signals;
    std::FILE* out;
    bool color;
    EditLine* editor = nullptr;
    History* history = nullptr;
    std::string prompt;
    int signal = 0;
    char buffer[4096];
    std::size_t at = 0, filled = 0;
};

LineEditor::LineEditor(Signals& signals, bool errors, bool color)
    : state_(std::make_unique<State>(signals, errors ? stderr : stdout, color)) {
    state_->history = history_init();
    state_->editor = el_init("shoal", stdin, state_->out, stderr);
    if (state_->history == nullptr || state_->editor == nullptr) {
        throw Error(kFailed, "the terminal cannot be used for typing");
    }
    HistEvent event;
    ::history(state_->history, &event, H_SETSIZE, static_cast<int>(HistoryFile::kMostEntries));
    ::history(state_->history, &event, H_SETUNIQUE, 1);
    EditLine* editor = state_->editor;
    el_set(editor, EL_CLIENTDATA, static_cast<void*>(state_.get()));
    el_set(editor, EL_PROMPT_ESC, State::get_prompt, '\1');
    el_set(editor, EL_HIST, ::history, state_->history);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_GETCFN, State::get_character);
    // Ctrl-Z, what follows it and a terminal of another size; Signals has the others.
    el_set(editor, EL_SIGNAL, 1);
    state_->bind_keys();
    el_source(editor, nullptr);
}

LineEditor::~LineEditor() = default;

LineEditor::Input LineEditor::read(const std::string& prompt) {
    State& state = *state_;
    state.prompt = state.color ? "\1\033[1m\1" + prompt + "\1\033[0m\1" : prompt;
    state.signal = 0;
    el_resize(state.editor);
    const bool marks = !terminal_is_dumb();
    if (marks) state.show(kMarkPastes);
    int size = 0;
    const char* line = el_gets(state.editor, &size);
    Input input;
    if (line != nullptr && size > 0 && state.signal == 0) {
        input.text.assign(line, static_cast<std::size_t>(size));
        if (input.text.ends_with('\n')) input.text.pop_back();
    } else if (state.signal == SIGINT) {
        const LineInfo* left = el_line(state.editor);
        input.end = End::interrupt;
        input.empty = left->lastchar == left->buffer;
        state.show("^C\n");
    } else {
        input.end = state.signal != 0 ? End::signal : End::end_of_input;
        input.signal = state.signal;
        state.show("\n");
    }
    if (marks) state.show(kDoNotMarkPastes);
    return input;
}

void LineEditor::remember(const std::string& text) {
    HistEvent event;
    ::history(state_->history, &event, H_ENTER, text.c_str());
}

HiddenTyping::HiddenTyping() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    hidden_ = tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) == 0;
}

HiddenTyping::~HiddenTyping() {
    if (hidden_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

}  // namespace shoal::cli
