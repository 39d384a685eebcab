//! What the reader of a scenario is told about each mistake: the line, and what to do. And what a
//! scenario means that says little.

use lab::scenario::parse;

/// The error for `text`, which must be one.
fn error(text: &str) -> String {
    match parse("s.toml", text) {
        Ok(scenario) => panic!("this was accepted: {text}\n{scenario:?}"),
        Err(error) => error.to_string(),
    }
}

const ONE: &str = "[[process]]\nname = \"server\"\ncommand = [\"x\"]\n";

// tidy: long, because it is a table
#[test]
fn every_mistake_has_its_line_and_its_remedy() {
    let with = |more: &str| format!("{ONE}{more}");
    let cases = [
        ("seed = 1", "s.toml:1: there is nothing to run"),
        ("sed = 1", "s.toml:1: a scenario has no key \"sed\", did you mean \"seed\"?"),
        ("seed = ", "s.toml:1: this is not TOML"),
        ("seed = -1", "s.toml:1: seed must be a whole number from 0"),
        ("seed = \"x\"", "s.toml:1: seed in a scenario must be a whole number, not of type string"),
        ("[process]\ncommand = [\"x\"]", "s.toml:1: process must be an array of tables"),
        (
            "[[process]]\ncomand = [\"x\"]",
            "s.toml:2: [[process]] has no key \"comand\", did you mean \"command\"?",
        ),
        ("\n[[process]]\nname = \"x\"", "s.toml:2: [[process]] needs command: write for example"),
        (
            "[[process]]\ncommand = \"x\"",
            "s.toml:2: command in [[process]] must be an array of strings",
        ),
        ("[[process]]\ncommand = []", "s.toml:2: command names no program"),
        ("[[process]]\ncommand = [\"x\"]\nstart = \"5\"", "s.toml:3: start: \"5\" has no unit"),
        (
            "[[process]]\ncommand = [\"x\"]\nstart = 5",
            "s.toml:3: start in [[process]] must be a string",
        ),
        (
            "[[process]]\ncommand = [\"x\"]\ncwd = \"tmp\"",
            "s.toml:3: cwd: \"tmp\" must be an absolute path",
        ),
        (
            "[[process]]\ncommand = [\"x\"]\nenv = { A = 1 }",
            "s.toml:3: env in [[process]] must be a table of strings",
        ),
        (
            &with("[[host]]\nname = \"a\"\nsysctls = { \"net.ipv4.tcp_retrys2\" = 5 }"),
            "s.toml:6: there is no sysctl \"net.ipv4.tcp_retrys2\", did you mean \"net.ipv4.tcp_retries2\"?",
        ),
        (
            &with("[[host]]\nname = \"a\"\nsysctls = { \"kernel.ostype\" = \"Hurd\" }"),
            "s.toml:6: sysctl \"kernel.ostype\" cannot be changed: leave it out",
        ),
        (
            &with("[[host]]\nname = \"a\"\nsysctls = { \"net.ipv4.tcp_retries2\" = 256 }"),
            "s.toml:6: sysctl \"net.ipv4.tcp_retries2\" does not take the value \"256\": write another",
        ),
        (
            &with("[[host]]\nname = \"a\"\nsysctls = { \"net.ipv4.tcp_retries2\" = 1.5 }"),
            "s.toml:6: sysctls in [[host]] must be a table of strings and whole numbers",
        ),
        (
            "[[process]]\ncommand = [\"x\"]\nhost = \"a b\"",
            "s.toml:3: host: \"a b\" is no name for a host",
        ),
        (
            "[[process]]\ncommand = [\"x\"]\nname = \"a\\nb\"",
            "s.toml:3: \"a\\nb\" cannot be shown as the name of a process",
        ),
        ("[[process]]\ncommand = [\"x/\"]", "s.toml:2: \"\" cannot be shown as the name"),
        (
            &with("[[process]]\nname = \"server\"\ncommand = [\"y\"]"),
            "s.toml:5: there are two processes named \"server\"",
        ),
        (
            &with("[[host]]\nname = \"a\"\n[[host]]\nname = \"a\""),
            "s.toml:7: there are two hosts named \"a\"",
        ),
        (
            &with("[[host]]\nname = \"a\"\naddress = \"10.0.0\""),
            "s.toml:6: address: \"10.0.0\" is no IPv4 address",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\nkill = \"sever\""),
            "s.toml:6: there is no process \"sever\", did you mean \"server\"?",
        ),
        (&with("[[fault]]\nat = \"1s\""), "s.toml:4: [[fault]] needs exactly one of"),
        (&with("[[fault]]\nat = \"1s\"\npower-off = \"b\""), "s.toml:6: there is no host \"b\""),
        (&with("[[fault]]\nat = \"1s\"\npower-on = \"b\""), "s.toml:6: there is no host \"b\""),
        (
            &with("[[host]]\nname = \"b\"\n[[link]]\nbetween = [\"a\", \"b\"]\nloss = \"5\""),
            "s.toml:8: loss: \"5\" is no part of all packets: write a percentage, as in \"0.5%\"",
        ),
        (
            &with("[[host]]\nname = \"b\"\n[[link]]\nbetween = [\"a\", \"b\"]\nbandwidth = \"9\""),
            "s.toml:8: bandwidth: \"9\" is no bandwidth: write a whole number and bit/s",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\nkill = \"server\"\none-way = true"),
            "s.toml:4: one-way says that only what the first host of a partition sends is lost",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\nkill = \"server\"\nloss = \"1%\""),
            "s.toml:4: loss says how a link is from now on: write link = ",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\npartition = [\"a\"]"),
            "s.toml:6: partition must name two hosts, as in partition = [\"a\", \"b\"]",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\nheal = [\"a\", \"a\"]"),
            "s.toml:6: a link needs two different hosts",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\nheal = \"a\""),
            "s.toml:6: heal in [[fault]] must be an array of strings",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\npower-off = \"a\"\npower-on = \"a\""),
            "s.toml:4: [[fault]] needs exactly one of",
        ),
        (
            &with("at-boot = \"yes\""),
            "s.toml:4: at-boot in [[process]] must be true or false, not of type string",
        ),
        (&with("init = true\nstart = \"1s\""), "s.toml:5: an init starts with its host"),
        (
            &with("init = true\n[[process]]\ncommand = [\"x\"]\ninit = true"),
            "s.toml:5: \"server\" is this host's init already",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\nkill = \"server\"\nsignal = \"KIL\""),
            "s.toml:7: signal: there is no signal \"KIL\", did you mean \"KILL\"?",
        ),
        (
            &with("[[fault]]\nat = \"1s\"\nsignal = \"HUP\"\nterminate = \"server\""),
            "s.toml:6: signal says with what kill kills",
        ),
        (
            &with("[[link]]\nbetween = [\"a\"]\nlatency = \"1ms\""),
            "s.toml:5: between must name two hosts",
        ),
        (
            &with("[[link]]\nbetween = [\"a\", \"a\"]\nlatency = \"1ms\""),
            "s.toml:5: a link needs two different hosts",
        ),
        (
            &with("[[check]]\nexits = { process = \"server\", status = 300 }"),
            "s.toml:5: status must be a whole number from 0 to 255",
        ),
        (
            &with("[[check]]\nexits = { process = \"server\", status = 1, signal = \"KILL\" }"),
            "s.toml:5: a process ends with a status or by a signal",
        ),
        (
            &with("[[check]]\nexit = {}"),
            "s.toml:5: [[check]] has no key \"exit\", did you mean \"exits\"?",
        ),
    ];
    for (text, expected) in cases {
        let error = error(text);
        assert!(error.starts_with(expected), "for\n{text}\nexpected {expected}\ngot      {error}");
    }
}

#[test]
fn the_short_case_is_short() {
    let scenario = parse("s.toml", "[[process]]\ncommand = [\"/usr/bin/true\"]").unwrap();
    let process = &scenario.processes[0];
    assert_eq!((process.name.as_str(), process.host), ("true", 0));
    assert_eq!(scenario.hosts[0].name, "a");
    assert_eq!(scenario.hosts[0].address.octets(), [10, 0, 0, 1]);
}

#[test]
fn hosts_exist_by_being_named_and_get_addresses_in_order() {
    let text = "[[host]]\nname = \"b\"\n[[host]]\nname = \"c\"\naddress = \"10.0.0.1\"\n\
                [[process]]\nhost = \"a\"\ncommand = [\"x\"]\n[[process]]\nhost = \"b\"\nname = \"y\"\ncommand = [\"x\"]";
    let scenario = parse("s.toml", text).unwrap();
    let hosts: Vec<String> =
        scenario.hosts.iter().map(|h| format!("{} {}", h.name, h.address)).collect();
    assert_eq!(hosts, ["b 10.0.0.2", "c 10.0.0.1", "a 10.0.0.3"]);
    assert_eq!(scenario.processes[0].host, 2);
}
