//! SqueezeNet 1.0 and 1.1 as in torchvision (Iandola et al., 2016). Fire modules are numbered as in the paper:
//! torchvision's `features.3` is `fire2`.

use super::table::{Architecture, HubFile, Initialiser, Published, conv, fire, pool};

pub(super) const SQUEEZENET1_0: Architecture = Architecture {
    id: "squeezenet1_0",
    features: &[
        conv("conv1", 0, 96, 7, 2, 0),
        pool("pool1", 3, 2, true),
        fire("fire2", 3, 16, 64),
        fire("fire3", 4, 16, 64),
        fire("fire4", 5, 32, 128),
        pool("pool4", 3, 2, true),
        fire("fire5", 7, 32, 128),
        fire("fire6", 8, 48, 192),
        fire("fire7", 9, 48, 192),
        fire("fire8", 10, 64, 256),
        pool("pool8", 3, 2, true),
        fire("fire9", 12, 64, 256),
    ],
    taps: &["conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"],
    initialiser: Initialiser::KaimingUniform,
    published: None,
};

pub(super) const SQUEEZENET1_1: Architecture = Architecture {
    id: "squeezenet1_1",
    features: &[
        conv("conv1", 0, 64, 3, 2, 0),
        pool("pool1", 3, 2, true),
        fire("fire2", 3, 16, 64),
        fire("fire3", 4, 16, 64),
        pool("pool3", 3, 2, true),
        fire("fire4", 6, 32, 128),
        fire("fire5", 7, 32, 128),
        pool("pool5", 3, 2, true),
        fire("fire6", 9, 48, 192),
        fire("fire7", 10, 48, 192),
        fire("fire8", 11, 64, 256),
        fire("fire9", 12, 64, 256),
    ],
    taps: &["conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"],
    initialiser: Initialiser::KaimingUniform,
    published: Some(Published {
        sha256: "31a70309e8549af9ed7a9ac21db00c246844293b72a774f4d1a18e9edfde8605",
        torchvision: "squeezenet1_1-b8a52dc0.pth",
        hub: &[
            HubFile {
                repo: "achiru/DiffSynth-Studio-ImageMetrics",
                revision: "main",
                file: "LPIPS/squeezenet.safetensors",
            },
            HubFile { repo: "theunnecessarythings/vision_models", revision: "main", file: "squeezenet1_1.safetensors" },
        ],
    }),
};
