#include "eval/index_check.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/invlists/OnDiskInvertedLists.h>

#include <algorithm>

namespace
{

using Rows = decltype(faiss::Index::ntotal); // idx_t lies in Index or beside it

const char *fault_of(const faiss::Index *index);

const char *const sizes = "sizes that do not fit each other";
constexpr int most_searched = 1 << 20; // nodes of a graph, for one query
constexpr float most_refined = 1024;   // rows, for each that is asked for

bool fits(const faiss::ProductQuantizer &pq, size_t dim, size_t code_size)
{
    return pq.d == dim && pq.nbits >= 1 && pq.nbits <= 16 && pq.M >= 1 && pq.M <= dim &&
           pq.dsub * pq.M == dim && pq.ksub == size_t{1} << pq.nbits && pq.code_size == code_size &&
           code_size == (pq.M * pq.nbits + 7) / 8 && pq.centroids.size() == pq.ksub * dim;
}

bool fits(const faiss::ScalarQuantizer &sq, size_t dim, size_t code_size)
{
    using Kind = faiss::ScalarQuantizer;
    bool bare = sq.qtype == Kind::QT_fp16 || sq.qtype == Kind::QT_8bit_direct;
    bool uniform = sq.qtype == Kind::QT_8bit_uniform || sq.qtype == Kind::QT_4bit_uniform;
    return sq.d == dim && sq.code_size == code_size &&
           sq.code_size * 8 == (sq.bits * dim + 7) / 8 * 8 &&
           sq.trained.size() == (bare      ? 0
                                 : uniform ? 2
                                           : 2 * dim);
}

const char *fault_of_codes(const faiss::IndexFlatCodes *index)
{
    auto dim = static_cast<size_t>(index->d), rows = static_cast<size_t>(index->ntotal);
    if (index->codes.size() != rows * index->code_size)
        return sizes;
    if (dynamic_cast<const faiss::IndexFlat *>(index))
        return index->code_size == dim * sizeof(float) ? nullptr : sizes;
    if (auto *pq = dynamic_cast<const faiss::IndexPQ *>(index))
        return fits(pq->pq, dim, index->code_size) ? nullptr : sizes;
    if (auto *sq = dynamic_cast<const faiss::IndexScalarQuantizer *>(index))
        return fits(sq->sq, dim, index->code_size) ? nullptr : sizes;
    return "an index of a kind that is not read";
}

// Nodes of a level are linked to nodes that have the level, too.
bool links_fit(const faiss::HNSW &graph, size_t rows, size_t node)
{
    const auto &ends = graph.cum_nneighbor_per_level;
    for (int level = 0; level < graph.levels[node]; level++)
        for (int at = ends[level]; at < ends[level + 1]; at++) {
            auto other = graph.neighbors[graph.offsets[node] + static_cast<size_t>(at)];
            if (other < -1 || (other >= 0 && (static_cast<size_t>(other) >= rows ||
                                              graph.levels[other] <= level)))
                return false;
        }
    return true;
}

// How many candidates the upper levels of a graph keep: one in a FAISS that has no such member.
template <class Graph> auto upper_beam(const Graph &graph, int) -> decltype(int{graph.upper_beam})
{
    return graph.upper_beam;
}

template <class Graph> int upper_beam(const Graph &, long)
{
    return 1;
}

const char *fault_of_graph(const faiss::HNSW &graph, size_t rows)
{
    const auto &ends = graph.cum_nneighbor_per_level;
    int levels = static_cast<int>(ends.size()) - 1;
    if (levels < 1 || levels > 1000 || ends[0] != 0 || !std::is_sorted(ends.begin(), ends.end()) ||
        graph.levels.size() != rows || graph.offsets.size() != rows + 1 || graph.offsets[0] != 0 ||
        upper_beam(graph, 0) != 1 || graph.efSearch > most_searched)
        return sizes;
    for (size_t i = 0; i < rows; i++)
        if (graph.levels[i] < 1 || graph.levels[i] > levels ||
            graph.offsets[i + 1] != graph.offsets[i] + static_cast<size_t>(ends[graph.levels[i]]))
            return sizes;
    if (graph.offsets[rows] != graph.neighbors.size())
        return sizes;
    if (graph.entry_point < 0 || static_cast<size_t>(graph.entry_point) >= rows ||
        graph.max_level < 0 || graph.levels[graph.entry_point] <= graph.max_level)
        return "a graph without an entry";
    for (size_t i = 0; i < rows; i++)
        if (!links_fit(graph, rows, i))
            return "a graph with a link to a row that does not exist";
    return nullptr;
}

const char *fault_of_part(const faiss::Index *part, const faiss::Index *whole, int dim, Rows rows)
{
    if (!part || part->d != dim || part->ntotal != rows || part->metric_type != whole->metric_type)
        return sizes;
    return fault_of(part);
}

// Lists that lie in the file, which is mapped.
bool lists_fit(const faiss::OnDiskInvertedLists *lists)
{
    size_t entry = lists->code_size + sizeof(Rows);
    for (const auto &list : lists->lists)
        if (list.size > list.capacity || list.offset > lists->totsize ||
            list.capacity > (lists->totsize - list.offset) / entry)
            return false;
    return lists->filename.empty() && lists->lists.size() == lists->nlist;
}

const char *fault_of_lists(const faiss::IndexIVF *index)
{
    auto dim = static_cast<size_t>(index->d);
    const auto *lists = index->invlists;
    if (!lists || lists->nlist != index->nlist || lists->code_size != index->code_size)
        return sizes;
    if (auto *mapped = dynamic_cast<const faiss::OnDiskInvertedLists *>(lists)) {
        if (!lists_fit(mapped))
            return "lists that lie outside the file";
    } else if (!dynamic_cast<const faiss::ArrayInvertedLists *>(lists)) {
        return "lists of a kind that is not read";
    }
    if (lists->compute_ntotal() != static_cast<size_t>(index->ntotal))
        return sizes;
    bool fitting = false;
    if (dynamic_cast<const faiss::IndexIVFFlat *>(index))
        fitting = index->code_size == dim * sizeof(float);
    else if (auto *pq = dynamic_cast<const faiss::IndexIVFPQ *>(index))
        fitting = fits(pq->pq, dim, index->code_size);
    else if (auto *sq = dynamic_cast<const faiss::IndexIVFScalarQuantizer *>(index))
        fitting = fits(sq->sq, dim, index->code_size);
    else
        return "an index of a kind that is not read";
    return fitting
               ? fault_of_part(index->quantizer, index, index->d, static_cast<Rows>(index->nlist))
               : sizes;
}

const char *fault_of_transforms(const faiss::IndexPreTransform *index)
{
    int dim = index->d;
    for (const auto *transform : index->chain) {
        auto *linear = dynamic_cast<const faiss::LinearTransform *>(transform);
        if (!linear)
            return "a transform of a kind that is not read";
        auto in = static_cast<size_t>(linear->d_in), out = static_cast<size_t>(linear->d_out);
        if (linear->d_in != dim || linear->d_out < 1 || linear->A.size() != in * out ||
            (linear->have_bias && linear->b.size() != out))
            return sizes;
        dim = linear->d_out;
    }
    return fault_of_part(index->index, index, dim, index->ntotal);
}

const char *fault_of(const faiss::Index *index)
{
    if (auto *graph = dynamic_cast<const faiss::IndexHNSW *>(index)) {
        const char *fault = fault_of_part(graph->storage, graph, graph->d, graph->ntotal);
        return fault ? fault : fault_of_graph(graph->hnsw, static_cast<size_t>(graph->ntotal));
    }
    if (auto *lists = dynamic_cast<const faiss::IndexIVF *>(index))
        return fault_of_lists(lists);
    if (auto *codes = dynamic_cast<const faiss::IndexFlatCodes *>(index))
        return fault_of_codes(codes);
    if (auto *transformed = dynamic_cast<const faiss::IndexPreTransform *>(index))
        return fault_of_transforms(transformed);
    if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        if (!(refined->k_factor >= 1 && refined->k_factor <= most_refined))
            return "a number of rows to refine that is out of range";
        const char *fault =
            fault_of_part(refined->base_index, refined, refined->d, refined->ntotal);
        return fault ? fault
                     : fault_of_part(refined->refine_index, refined, refined->d, refined->ntotal);
    }
    return "an index of a kind that is not read";
}

} // namespace

const char *ps_index_fault(const FaissIndex *index)
{
    return fault_of(reinterpret_cast<const faiss::Index *>(index));
}
