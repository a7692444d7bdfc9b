// Commands of devices, models and the cluster.
#include "cli/command_line.hpp"

namespace shoal::cli {

void add_status(CLI::App& app, StatusOptions& o, Action& action) {
    CLI::App* sub = command(app, "status", "Show the cluster: devices, slices, memory, links",
                            "HEADS, KV, FFN COLUMNS and VOCABULARY are the device's slice of the "
                            "model; the last number counts in. LINK is the time there and back.\n"
                            "With --watch a terminal shows each device's share as a bar, until q "
                            "or Ctrl-C; a pipe gets one status after the other.");
    sub->add_option("-w,--watch", o.watch_seconds, "Show it again every so many seconds (1)")
        ->expected(0, 1)
        ->default_str("1")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 86400.0).description(""));
    sub->callback([&] { action = [&](const Common& common) { return status(common, o); }; });
}

void add_plan(CLI::App& app, PlanOptions& o, Action& action) {
    CLI::App* sub =
        command(app, "plan", "Predict how fast a model would be, by number of devices",
                "Of the cluster: by what its devices measured, and the root's "
                "settings; nothing is loaded.\n"
                "Of devices in a file, for which no daemon is needed: the file is TOML, "
                "[[device]] with name, count, memory_gb and gigabytes_per_second of its "
                "memory, [link], [plan] and, without MODEL, [model].\n"
                "Examples: shoal plan llama\n"
                "          shoal plan --what-if four-boards.toml");
    sub->add_option("MODEL", o.model,
                    "Name or hash of a model (see `shoal models`), or a GGUF file on this device; "
                    "'' is the daemon's default. With --what-if a GGUF file, or nothing for the "
                    "[model] of the file");
    sub->add_option("--devices", o.devices,
                    "Show who takes which part with so many devices, rather than with as many as "
                    "are best")
        ->type_name("N")
        ->check(CLI::Range(1U, static_cast<unsigned>(mesh::messages::kMaxListedDevices))
                    .description(""));
    sub->add_option("--what-if", o.what_if, "Devices, links and a model as TOML")
        ->type_name("FILE");
    sub->callback([sub, &o, &action] {
        if (sub->count("MODEL") == 0 && o.what_if.empty()) {
            throw CLI::RequiredError("MODEL, or --what-if FILE");
        }
        action = [&](const Common& common) { return plan(common, o); };
    });
}

void add_bench(CLI::App& app, BenchOptions& o, Action& action) {
    CLI::App* sub =
        command(app, "bench", "Measure this device, or how fast the cluster is with a model",
                "Nothing else should run. Of the device it takes some seconds: ONE ROW "
                "is bytes of weights a second, as tokens are generated; MANY ROWS are "
                "multiply-adds, as prompts are read. The daemon keeps it, and shares "
                "follow it. Links between devices are measured while nothing runs; the last "
                "figures of each are shown.\n"
                "Of a model it reads prompts (pp512: of 512 tokens) and writes answers "
                "(tg128), in tokens a second, as a table to paste.\n"
                "Examples: shoal bench\n"
                "          shoal bench llama");
    sub->add_option("MODEL", o.model, "Name or hash of a model, or a GGUF file on this device");
    sub->add_flag("--show", o.show,
                  "Show what was measured last of this device, and measure nothing");
    sub->add_option("-p,--prompt", o.prompt, "Tokens of a prompt")
        ->type_name("N")
        ->check(CLI::Range(1U, 65536U).description(""))
        ->capture_default_str();
    sub->add_option("-n,--answer", o.answer, "Tokens of an answer")
        ->type_name("N")
        ->check(CLI::Range(1U, 65536U).description(""))
        ->capture_default_str();
    sub->add_option("-r,--runs", o.runs, "How often each is measured")
        ->type_name("N")
        ->check(CLI::Range(1U, 1000U).description(""))
        ->capture_default_str();
    sub->callback([&] {
        if (o.show && !o.model.empty()) throw CLI::ExcludesError("--show", "MODEL");
        action = [&](const Common& common) {
            return o.model.empty() ? bench(common, o) : model_bench(common, o);
        };
    });
}

void add_doctor(CLI::App& app, DoctorOptions& o, Action& action) {
    CLI::App* sub = command(app, "doctor", "Look for what is wrong here, and say what to do",
                            "It looks at the daemon, the key, ports and firewalls, memory, disks, "
                            "heat, power and clock of the CPU, the network and the ways to other "
                            "devices, each of which gets some packets for a second. Errors and "
                            "warnings are problems, notices are not: exit code 0 without problems, "
                            "1 with some.\n"
                            "Examples: shoal doctor\n"
                            "          shoal doctor --json | jq -r '.findings[].text'\n"
                            "          sudo shoal doctor --fix");
    sub->add_flag("--fix", o.fix,
                  "Do what is harmless: huge pages, the CPU's governor, the clock, a key that "
                  "others can read");
    sub->add_option("--config", o.config, "The daemon's settings, where they are elsewhere")
        ->envname("SHOAL_CONFIG")
        ->type_name("FILE");
    sub->add_option("--root", o.root, "Look at /proc, /sys, /etc and the rest below this folder")
        ->type_name("FOLDER")
        ->capture_default_str();
    o.version = SHOAL_VERSION;
    sub->callback([&] { action = [&](const Common& common) { return run_doctor(common, o); }; });
}

void add_logs(CLI::App& app, LogsOptions& o, Action& action) {
    CLI::App* sub = command(app, "logs", "Show what the daemon of this device wrote to its log",
                            "By journalctl, of the unit shoald.\n"
                            "Example: shoal logs -f");
    sub->add_flag("-f,--follow", o.follow, "Go on with what it writes from now on");
    sub->add_option("-n,--lines", o.lines, "Show so many of the last lines (200)")->type_name("N");
    sub->add_option("--since", o.since, "Show what is as old as this: \"10 min ago\", 14:30, today")
        ->type_name("TIME");
    sub->callback([&] { action = [&](const Common& common) { return logs(common, o); }; });
}

void add_models(CLI::App& app, ModelsOptions& m, std::string& model, Action& action) {
    CLI::App* list = command(app, "models", "List the models that the cluster has",
                             "DEVICES is how many of them have the file.");
    list->add_flag("--fits", m.fits,
                   "Ask for each with which context the cluster can hold it, as `shoal plan` does");
    list->callback([&] { action = [&](const Common& common) { return models(common, m); }; });
    CLI::App* one = command(app, "load", "Make a model ready, so that the next answer starts soon",
                            "Example: shoal load llama");
    add_model(*one, model);
    one->callback([&] { action = [&](const Common& common) { return load(common, model); }; });
    CLI::App* gone = command(app, "unload", "Have a model leave the memory of the devices",
                             "Its file stays.\nExample: shoal unload llama");
    add_model(*gone, model);
    gone->callback([&] { action = [&](const Common& common) { return unload(common, model); }; });
}

void add_files(CLI::App& app, AddOptions& o, std::string& model, Action& action) {
    CLI::App* sub =
        command(app, "add", "Put a model into this device's folder of models",
                "It is checked, copied (or shared with the file, where the file system can), and "
                "read once; then it says what it needs and whether the cluster can hold it. A "
                "download that was stopped goes on when the same is added again.\n"
                "Examples: shoal add ~/Downloads/llama.gguf\n"
                "          shoal add --move ~/Downloads/big-00001-of-00003.gguf\n"
                "          shoal add https://example.org/models/llama.gguf\n"
                "          shoal add hf.co/OWNER/REPOSITORY/llama-Q4_K_M.gguf");
    sub->add_option("FILE", o.what,
                    "A GGUF file, any one of those of a split model, a folder with such files, the "
                    "address of a file (http, https), or its name at Hugging Face "
                    "(hf.co/OWNER/REPOSITORY/FILE)")
        ->required();
    auto* move = sub->add_flag("--move", o.move, "Move it there");
    sub->add_flag("--link", o.link, "Make a link there, and leave the file where it is")
        ->excludes(move);
    sub->add_option("--sha256", o.sha256,
                    "What is downloaded must have this hash; without it, the one that the server "
                    "tells, if it does")
        ->type_name("HEX");
    sub->callback([&] { action = [&](const Common& common) { return add(common, o); }; });
    CLI::App* remove =
        command(app, "rm", "Remove a model from this device's folder of models",
                "Copies on other devices stay, and so do files elsewhere that it was linked to.\n"
                "Example: shoal rm llama");
    remove->add_option("MODEL", model, "Name or hash of a model (see `shoal models`)")->required();
    remove->callback([&] { action = [&](const Common& common) { return rm(common, model); }; });
}

void add_contact(CLI::App& app, InviteOptions& i, JoinOptions& j, Action& action) {
    CLI::App* in = command(app, "invite", "Let another device into this device's cluster",
                           "Prints a line for `shoal join` there. It is good for one device and "
                           "ten minutes; whoever reads it first can use it.\n"
                           "Example: shoal invite | ssh other shoal join");
    in->add_flag("--no-qr", i.no_qr, "Do not show it as a QR code as well");
    in->callback([&] { action = [&](const Common& common) { return invite(common, i); }; });

    CLI::App* to = command(app, "join", "Go into another cluster, by an invitation",
                           "Without LINE, or with -, it is asked for, or read from standard "
                           "input. This device leaves the cluster that it is in.");
    to->add_option("LINE", j.invitation, "What `shoal invite` printed");
    to->callback([&] { action = [&](const Common& common) { return join(common, j); }; });

    CLI::App* out = command(app, "leave", "Leave the cluster; this device is then one of its own",
                            "It comes back by an invitation.");
    out->callback([&] { action = [](const Common& common) { return leave(common); }; });
}

void add_devices(CLI::App& app, std::string& device, std::string& name, Action& action) {
    CLI::App* all =
        command(app, "devices", "List the devices of the cluster, rename and forget them",
                "Alone it lists them.\n"
                "Example: shoal devices rename 3f2a91c0 kitchen");
    all->require_subcommand(0, 1);
    CLI::App* list =
        command(*all, "list", "List the devices that belong to the cluster",
                "Those that are not there now as well. SINCE is when this device first "
                "met them.");
    CLI::App* rename = command(*all, "rename", "Give a device that is there another name", "");
    CLI::App* forget =
        command(*all, "forget", "Shut a device out of the cluster",
                "All others get another key, while they work on; those that are switched off get "
                "it when they come back. The device comes back by an invitation alone.");
    for (CLI::App* sub : {rename, forget}) {
        sub->add_option("DEVICE", device, "Its name, or the beginning of its id")->required();
    }
    rename->add_option("NAME", name, "What it is called from now on")->required();
    const auto show = [&] { action = [](const Common& common) { return devices(common); }; };
    list->callback(show);
    all->callback([all, show] {
        if (all->get_subcommands().empty()) show();
    });
    rename->callback([&] {
        action = [&](const Common& common) { return devices_rename(common, device, name); };
    });
    forget->callback(
        [&] { action = [&](const Common& common) { return devices_forget(common, device); }; });
}

void add_key(CLI::App& app, std::string& file, Action& action) {
    CLI::App* key = command(app, "key", "Make or inspect the key that devices of a cluster share",
                            "Example: sudo shoal key new");
    key->require_subcommand(0, 1);
    CLI::App* make = command(*key, "new", "Write a new key to a file that does not exist yet", "");
    CLI::App* print =
        command(*key, "show-fingerprint",
                "Show a key's public name, the same on every device of a cluster", "");
    for (CLI::App* sub : {make, print}) {
        sub->add_option("FILE", file, "The key's file")->capture_default_str();
    }
    make->callback([&] { action = [&](const Common& common) { return key_new(common, file); }; });
    print->callback(
        [&] { action = [&](const Common& common) { return key_fingerprint(common, file); }; });
}

}  // namespace shoal::cli
