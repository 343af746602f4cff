#!/usr/bin/env python
"""How large should the transformer be, and how long should it learn, if time is short?

The budget is the time of all workers together, so a large model costs more of it than a small one.
"""

from musiclab import Budget, Categorical, Float, Int, Search, Study

study = Study(
    name="search_transformer",
    system="transformer_xl",
    space=Search(
        {
            "d_model": Categorical(32, 64, 96, 128),
            "layers": Int(1, 4),
            "memory": Categorical(32, 64, 128),
            "segment": Categorical(16, 32, 64),
            "epochs": Int(1, 6),
            "lr": Float(1e-3, 2e-2, log=True),
            "top_p": Float(0.5, 1),
        },
        sampler="tpe",
        scheduler="asha",
        budget=Budget(worker_hours=0.5),
        confirm=3,
    ),
    blocks=7,
    objective="frechet",
    seed=1,
)

if __name__ == "__main__":
    study.main()
