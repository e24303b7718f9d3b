"""Forward and backward of a micro-batch as a CUDA graph, one for each shape.

A step is some five thousand short kernels, which Python launches more slowly than a large GPU runs them. A graph
launches them at once; only what the batch holds changes from one replay to the next.
"""

import dataclasses

import torch


class Captured:
    def __init__(self, base, adapter):
        self.base, self.adapter = base, adapter
        self.shapes = {}  # shape -> graph, its batch, loss and gradients
        self.pool = torch.cuda.graph_pool_handle()  # one graph runs at a time, so all share their memory

    def backward(self, batch):
        """Adds the gradients of the weighted loss to the parameters', and returns that loss."""
        key = tuple((f.name, tuple(t.shape)) for f in dataclasses.fields(batch) if (t := getattr(batch, f.name)) is not None)
        parameters = self.adapter.parameters()
        for p in parameters:
            if p.grad is not None:
                p.grad = p.grad.clone()  # it may lie where the graph writes
        if key not in self.shapes:
            self.shapes[key] = self.capture(batch, parameters)
        graph, own, loss, gradients = self.shapes[key]
        for f in dataclasses.fields(batch):
            if (t := getattr(batch, f.name)) is not None:
                getattr(own, f.name).copy_(t)
        graph.replay()
        for p, g in zip(parameters, gradients):
            p.grad = g if p.grad is None else p.grad + g
        return loss.clone()

    def capture(self, batch, parameters):
        own = dataclasses.replace(batch, **{f.name: t.clone() for f in dataclasses.fields(batch) if (t := getattr(batch, f.name)) is not None})

        def run():
            loss = -self.base.forward(own, self.adapter, True) @ own.weights
            return loss.detach(), torch.autograd.grad(loss, parameters)

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            loss, gradients = run()
        return graph, own, loss, gradients
