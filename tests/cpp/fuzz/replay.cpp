// Runs a fuzz target without libFuzzer, so that any compiler can: its seeds, the files given, then random
// mutations of both. Usage: replay_X [--seed N] [--runs N] [--seconds N] [--dict FILE] [--write-seeds
// DIRECTORY] [FILE OR DIRECTORY ...] If the target fails, the input lies in the file "replay-failure" of the
// current folder.
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "fuzz.h"

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

std::string current;

void save() {
  if (std::FILE* file = std::fopen("replay-failure", "wb")) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
    std::fputs("the input was written to replay-failure\n", stderr);
  }
}

void on_abort(int) {
  save();
  std::signal(SIGABRT, SIG_DFL);
  std::raise(SIGABRT);
}

void run(const std::string& input) {
  current = input;
  // Memory of exactly this size, so that the sanitizers see a byte too far.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<std::string> pieces) : random_(seed), pieces_(std::move(pieces)) {}

  std::string operator()(const std::vector<std::string>& corpus) {
    std::string text = corpus[below(corpus.size())];
    for (std::size_t n = 1 + below(5); n > 0; --n) change(text, corpus[below(corpus.size())]);
    if (text.size() > 60000) text.resize(60000);
    return text;
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  void change(std::string& text, const std::string& other) {
    const std::size_t at = below(text.size() + 1),
                      n = below(std::min<std::size_t>(text.size() - std::min(at, text.size()), 16) + 1);
    switch (below(7)) {
      case 0:
        text.insert(at, pieces_[below(pieces_.size())]);
        break;
      case 1:
        text.erase(at, n);
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(random_());
        break;
      case 3:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ 1 << below(8));
        break;
      case 4:
        text.insert(at, text.substr(at, n));
        break;
      case 5:
        text = text.substr(0, at) + other.substr(below(other.size() + 1));
        break;
      default:
        text.insert(at, std::string(below(below(20) == 0 ? 3000 : 20), static_cast<char>(random_())));
        break;
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> pieces_;
};

// A dictionary as libFuzzer has them: a word in quotes a line, with \xNN, \" and \\.
std::vector<std::string> words(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);) {
    if (line.size() < 2 || line.front() != '"' || line.back() != '"') continue;
    std::string word;
    for (std::size_t i = 1; i + 1 < line.size(); ++i) {
      if (line[i] != '\\') {
        word += line[i];
      } else if (line[i + 1] == 'x') {
        word += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
        i += 3;
      } else {
        word += line[++i];
      }
    }
    out.push_back(word);
  }
  if (out.empty()) {
    std::cerr << path << ": no dictionary\n";
    std::exit(2);
  }
  return out;
}

void read(const std::filesystem::path& path, std::vector<std::string>& corpus) {
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) read(entry.path(), corpus);
    return;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::cerr << path << ": cannot be read\n";
    std::exit(2);
  }
  corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

}  // namespace

int main(int argc, char** argv) {
  const auto start = std::chrono::steady_clock::now();
  auto seed =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) % 1000000007;
  std::uint64_t runs = UINT64_MAX;
  double seconds = 3;
  std::vector<std::string> corpus = fuzz_seeds();
  std::vector<std::string> pieces = {"%", "%2F", "+", "&",    "=", "\r\n", ";",
                                     ":", "0",   " ", "\x80", "#", "?",    "://"};
  for (int i = 1; i < argc; ++i) {
    const bool more = i + 1 < argc;
    if (std::strcmp(argv[i], "--seed") == 0 && more) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--runs") == 0 && more) {
      runs = std::strtoull(argv[++i], nullptr, 10);
      seconds = 1e9;
    } else if (std::strcmp(argv[i], "--seconds") == 0 && more) {
      seconds = std::strtod(argv[++i], nullptr);
    } else if (std::strcmp(argv[i], "--dict") == 0 && more) {
      pieces = words(argv[++i]);
    } else if (std::strcmp(argv[i], "--write-seeds") == 0 && more) {
      const std::filesystem::path folder = argv[++i];
      std::filesystem::create_directories(folder);
      for (std::size_t k = 0; k < corpus.size(); ++k) {
        std::ofstream(folder / ("seed-" + std::to_string(k)), std::ios::binary) << corpus[k];
      }
      return 0;
    } else {
      read(argv[i], corpus);
    }
  }
  std::signal(SIGABRT, on_abort);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save);
  for (const std::string& input : corpus) run(input);
  std::cout << "seed " << seed << ", " << corpus.size() << " inputs replayed\n" << std::flush;
  Mutator mutate(seed, std::move(pieces));
  std::uint64_t done = 0;
  while (done < runs &&
         (done % 64 != 0 ||
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds)) {
    run(mutate(corpus));
    ++done;
  }
  std::cout << done << " mutations\n";
  return 0;
}
