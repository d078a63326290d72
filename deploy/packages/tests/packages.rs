//! What is packed is what was built, whole, and works where it is unpacked.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use thunder_deploy::beside;
use thunder_packages::{PROGRAMS, Target, archive, extras, npm, reference, root};

/// The programs that the tests have compiled, without what a debugger needs, which is most of them.
fn binaries() -> &'static Path {
    static STRIPPED: OnceLock<TempDir> = OnceLock::new();
    STRIPPED
        .get_or_init(|| {
            let directory = TempDir::new().unwrap();
            for program in PROGRAMS {
                let copy = directory.path().join(host().executable(program));
                std::fs::copy(beside(program).unwrap(), &copy).unwrap();
                // Where there is no such tool it stays as large as it is.
                let _ = Command::new("strip").arg(&copy).status();
            }
            directory
        })
        .path()
}

fn host() -> Target {
    let os = if cfg!(windows) { "win32" } else { std::env::consts::OS };
    let os = if os == "macos" { "darwin" } else { os };
    let cpu = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    Target::all().find(|target| target.node() == (os, cpu)).unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn version_of(program: &Path) -> String {
    run(Command::new(program).arg("--version").env_clear())
}

#[test]
fn the_reference_is_what_the_code_says() {
    reference::check(root()).unwrap();
}

#[test]
fn each_program_and_command_has_a_man_page_and_completions() {
    let made = TempDir::new().unwrap();
    extras(made.path()).unwrap();
    let mut pages: Vec<_> = PROGRAMS.iter().map(|program| (*program).to_owned()).collect();
    for definition in [thunder_cli::definition(), thunder_deploy::definition()] {
        let commands = definition.get_subcommands();
        pages.extend(commands.map(|command| format!("{}-{}", definition.get_name(), command.get_name())));
    }
    for page in pages {
        let text = std::fs::read_to_string(made.path().join("man").join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}:\n{text}");
    }
    let names = [
        ("bash", ["thunderd.bash", "thunder-cli.bash", "thunder-deploy.bash"]),
        ("zsh", ["_thunderd", "_thunder-cli", "_thunder-deploy"]),
        ("fish", ["thunderd.fish", "thunder-cli.fish", "thunder-deploy.fish"]),
        ("powershell", ["_thunderd.ps1", "_thunder-cli.ps1", "_thunder-deploy.ps1"]),
    ];
    for (shell, files) in names {
        for file in files {
            let text =
                std::fs::read_to_string(made.path().join("completions").join(shell).join(file)).unwrap();
            assert!(text.contains("help"), "{shell}: {file}");
        }
    }
}

/// What bash would offer for the last of these words.
#[cfg(unix)]
fn completed(script: &Path, words: &[&str]) -> String {
    let program = words.first().unwrap();
    let test = format!(
        "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _{} {program} '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words.len() - 1,
        program.replace('-', "__"),
        words.last().unwrap(),
        words.iter().rev().nth(1).unwrap(),
    );
    run(Command::new("bash").args(["--norc", "-c", &test]))
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_and_their_options() {
    let made = TempDir::new().unwrap();
    extras(made.path()).unwrap();
    for (words, offered) in [
        (&["thunderd", "--no"][..], "--no-auto-challenge"),
        (&["thunder-cli", "clo"], "closechannel"),
        (&["thunder-cli", "pay", "--me"], "--memo"),
        (&["thunder-cli", "closechannel", "--coop"], "--cooperative"),
        (&["thunder-deploy", "testnet", "--block"], "--block-time"),
    ] {
        let script = made.path().join(format!("completions/bash/{}.bash", words.first().unwrap()));
        assert_eq!(completed(&script, words).trim(), offered, "{words:?}");
    }
}

/// Files that look like a platform's programs to whoever packs them.
fn stand_ins(directory: &Path, target: Target) {
    for program in PROGRAMS {
        std::fs::write(directory.join(target.executable(program)), program).unwrap();
    }
}

#[test]
fn the_same_programs_give_the_same_archive() {
    for target in Target::all() {
        let place = TempDir::new().unwrap();
        stand_ins(place.path(), target);
        let content = |directory: &str| {
            let out = place.path().join(directory);
            let path = archive(root(), target, place.path(), None, &out).unwrap();
            let sum = std::fs::read_to_string(out.join(format!("{}.sha256", target.archive()))).unwrap();
            assert!(sum.ends_with(&format!("  {}\n", target.archive())), "{sum}");
            (std::fs::read(path).unwrap(), sum)
        };
        assert!(content("one") == content("another"), "{target}");
    }
}

/// The archive of this platform.
fn own_archive() -> PathBuf {
    static ARCHIVE: OnceLock<TempDir> = OnceLock::new();
    let directory = ARCHIVE.get_or_init(|| {
        let directory = TempDir::new().unwrap();
        archive(root(), host(), binaries(), None, directory.path()).unwrap();
        directory
    });
    directory.path().join(host().archive())
}

#[test]
fn an_archive_unpacked_in_a_bare_directory_works() {
    let place = TempDir::new().unwrap();
    let path = own_archive();
    // tar reads zip archives, too, where those are made: on Windows.
    run(Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(place.path()));
    let unpacked = place.path().join(host().name());
    for program in PROGRAMS {
        let version = version_of(&unpacked.join(host().executable(program)));
        assert!(version.contains("v0.0.1"), "{version}");
    }
    for file in
        ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "man/thunder-cli-pay.1", "completions/zsh/_thunderd"]
    {
        assert!(unpacked.join(file).is_file(), "{file}");
    }
    assert_eq!(unpacked.join("systemd/thunderd.service").is_file(), cfg!(target_os = "linux"));
}

#[test]
fn a_windows_archive_is_a_zip_with_its_programs() {
    let place = TempDir::new().unwrap();
    let target: Target = "x86_64-pc-windows-msvc".parse().unwrap();
    stand_ins(place.path(), target);
    archive(root(), target, place.path(), None, place.path()).unwrap();
    let packages = npm(root(), place.path(), &place.path().join("npm")).unwrap();
    let bin = packages.first().unwrap().join("bin");
    for program in PROGRAMS {
        assert_eq!(std::fs::read_to_string(bin.join(format!("{program}.exe"))).unwrap(), program);
    }
}

#[test]
fn a_missing_program_and_an_unknown_platform_are_refused() {
    let place = TempDir::new().unwrap();
    let error = archive(root(), host(), place.path(), None, place.path()).unwrap_err();
    assert!(error.to_string().contains("thunderd"), "{error}");
    assert!(!place.path().join(host().archive()).exists());
    assert!("sparc-sun-solaris".parse::<Target>().is_err());
    assert!(npm(root(), place.path(), place.path()).unwrap_err().to_string().contains("no archive"));
}

#[test]
fn npm_packages_install_into_an_empty_project_and_npx_runs_them() {
    let place = TempDir::new().unwrap();
    let project = place.path().join("project");
    std::fs::create_dir(&project).unwrap();
    let node = |program: &str| {
        let mut command =
            Command::new(if cfg!(windows) { format!("{program}.cmd") } else { program.to_owned() });
        command.current_dir(&project).env("npm_config_cache", place.path().join("cache"));
        command.env("HOME", place.path()).env("npm_config_update_notifier", "false");
        command
    };
    // A release has the other platforms' packages, too, which are not there when only one's is installed.
    let archives = place.path().join("archives");
    std::fs::create_dir(&archives).unwrap();
    std::fs::copy(own_archive(), archives.join(host().archive())).unwrap();
    for target in Target::all().filter(|target| target.node() != host().node()) {
        let stand_in = TempDir::new().unwrap();
        stand_ins(stand_in.path(), target);
        archive(root(), target, stand_in.path(), None, &archives).unwrap();
    }
    let packages = npm(root(), &archives, &place.path().join("npm")).unwrap();
    let mut install = node("npm");
    install.args(["install", "--offline", "--no-audit", "--no-fund"]);
    let own = format!("{}-{}", host().node().0, host().node().1);
    for package in packages.iter().filter(|path| path.ends_with("thunder") || path.ends_with(&own)) {
        let packed = run(node("npm").args(["pack", "--silent"]).arg(package));
        install.arg(format!("./{}", packed.trim()));
    }
    run(&mut install);
    for program in PROGRAMS {
        let version = run(node("npx").args(["--no-install", program, "--version"]));
        assert!(version.contains("v0.0.1"), "{version}");
    }
    let nobody = thunder_deploy::ports::free().unwrap().to_string();
    let output =
        node("npx").args(["--no-install", "thunder-cli", "--port", &nobody, "infos"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "exit codes are handed through");
}
