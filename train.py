"""Text to a 3D Gaussian splat by Entropic Score Distillation.

    python train.py prompt="a corgi"
    python train.py --help

Arguments and errors are in gs_esd/cli/, the training loop is in gs_esd/trainer.py, the equation in
gs_esd/guidance/objectives.py.
"""

from gs_esd.cli.train import main

if __name__ == "__main__":
    main()
