//! `lpips weights`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lpips_models::weights::{Archive, Finder, Weights as Loaded};
use lpips_models::{Error, Network};

use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips weights list
  lpips weights fetch vgg
  lpips weights verify
  lpips weights path alex";

const ORDER: &str = "Weights are looked up in this order: a path given with --weights; the folder named by LPIPS_WEIGHTS_DIR \
    (alexnet.safetensors, vgg16.safetensors, squeezenet1_1.safetensors, or torchvision's .pth files under their own names); the \
    binary itself (alex); PyTorch's hub cache; the Hugging Face cache; and a download from the Hugging Face hub. HF_ENDPOINT, \
    HF_HUB_CACHE, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE have their usual meaning.";

/// List, download and verify the weights of networks.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ORDER}"))]
pub(crate) struct Weights {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List each network with the place of its weights on this machine.
    #[command(after_help = "Example:\n  lpips weights list")]
    List,
    /// Download weights that are not on this machine yet from the Hugging Face hub.
    #[command(after_help = "Examples:\n  lpips weights fetch\n  lpips weights fetch vgg squeeze")]
    Fetch {
        /// Networks: alex, vgg, squeeze [default: all three].
        networks: Vec<Network>,
    },
    /// Read weights, check every tensor and compare the SHA-256 with that of the official weights.
    #[command(after_help = "Examples:\n  lpips weights verify\n  lpips weights verify --file vgg16-397923af.pth vgg")]
    Verify {
        /// Networks: alex, vgg, squeeze [default: those with weights on this machine].
        networks: Vec<Network>,
        /// Verify this file in place of the usual places; needs exactly one network.
        #[arg(long, value_name = "PATH", requires = "networks")]
        file: Option<PathBuf>,
    },
    /// Print the path of a network's weights.
    #[command(after_help = "Example:\n  lpips weights path vgg")]
    Path {
        /// Network: alex, vgg or squeeze.
        network: Network,
    },
}

impl Weights {
    pub(crate) fn run(&self) -> Result {
        match &self.action {
            Action::List => list(),
            Action::Fetch { networks } => each(&published(networks), |network| {
                let weights = super::finder().find(network)?;
                output::line(&format!("{network}: {}", weights.origin()))
            }),
            Action::Verify { networks, file: Some(file) } => match networks.as_slice() {
                [network] => verify(&Loaded::from_archive(*network, &Archive::open(file)?)?),
                _ => Err(Failure::usage("--file checks one file for one network: name one network")),
            },
            Action::Verify { networks, file: None } => {
                let find = |network| Finder::default().offline().find(network);
                let named = !networks.is_empty();
                each(&published(networks), |network| match find(network) {
                    // What is simply not here is no failure; what is here and broken is.
                    Err(Error::NoWeights { unusable: false, .. }) if !named => Ok(()),
                    found => verify(&found?),
                })
            }
            Action::Path { network } => {
                let weights = Finder::default().offline().find(*network)?;
                match weights.origin().path() {
                    Some(path) => output::line(&output::text(path)),
                    None => {
                        Err(Failure::Work(Some(format!("the weights of {network} are part of this program: no file"))))
                    }
                }
            }
        }
    }
}

fn published(networks: &[Network]) -> Vec<Network> {
    if networks.is_empty() { Network::PUBLISHED.to_vec() } else { networks.to_vec() }
}

fn list() -> Result {
    let mut rows = Vec::new();
    for network in Network::PUBLISHED {
        let place = match Finder::default().offline().find(network) {
            Ok(weights) => weights.origin().to_string(),
            Err(Error::NoWeights { unusable: false, .. }) => {
                let on_hub = network.architecture().published.is_some_and(|published| !published.hub.is_empty());
                let how = if cfg!(feature = "hub") && on_hub {
                    format!(": get them with `lpips weights fetch {network}`")
                } else {
                    String::new()
                };
                format!("not on this machine{how}")
            }
            Err(error) => format!("unusable: {error}"),
        };
        rows.push(vec![format!("{:<8}", network.name()), format!("{:<14}", network.architecture().id), place]);
    }
    output::table(&rows).iter().try_for_each(|line| output::line(line))
}

fn verify(weights: &Loaded) -> Result {
    let (network, sha256) = (weights.network(), weights.sha256());
    match weights.is_official() {
        Some(true) => output::line(&format!("{network}: official, SHA-256 {sha256}, {}", weights.origin())),
        Some(false) => Err(Failure::Work(Some(format!(
            "{network}: complete, but not the official numbers, SHA-256 {sha256}, {}",
            weights.origin()
        )))),
        None => output::line(&format!("{network}: complete, no hash to compare with, SHA-256 {sha256}")),
    }
}

/// Runs a step for every network, and fails at the end if one of them failed.
fn each(networks: &[Network], run: impl Fn(Network) -> Result) -> Result {
    let mut failed = false;
    for &network in networks {
        match run(network) {
            Err(Failure::Work(message)) => {
                failed = true;
                output::error(&message.unwrap_or_default());
            }
            other => other?,
        }
    }
    if failed { Err(Failure::Work(None)) } else { Ok(()) }
}
