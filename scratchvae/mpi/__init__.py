"""Training and evaluation by several ranks of MPI: ``mpiexec -n 4 scratchvae train …``.

``place`` finds out whether the program was started so, ``guardian`` ends all of it when a rank
dies, ``ranks`` are the processes and what they say to each other, ``exchange`` adds the gradients,
``follow`` is what the ranks other than 0 do in a training. mpi4py is imported where a job of more
than one rank begins, and nowhere else.
"""
