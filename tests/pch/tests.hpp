// Compiled once for each test program and read before every file of it: what most of them include
// anyway. A file names what it uses all the same, as -Db_pch=false builds without this.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>
