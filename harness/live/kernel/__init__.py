"""The kernel network of live runs: namespaces, veth, nft and htb, so that partitions, losses and rates are real.

    C clients ──┐                         every line is a veth pair; no name is ever given to a namespace,
    N node 1 ───┼── R ── H proxies        and nothing is ever in the machine's own one
    N node 2 ───┘   └─ limiters

Latency and jitter stay with the proxies (most kernels have no netem). What the kernel acts on is the leg between
whoever opens a connection and its proxy: each pair of hosts has a proxy of its own, so the packets to and from one
port are exactly the two-way traffic of that pair. All of them are forwarded by R, where nft drops them and htb
queues them. A process in R (`agent`) holds all namespaces; when it dies, the kernel takes everything down.
"""
