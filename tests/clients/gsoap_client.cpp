/*
 * Calls the service as a program on gSOAP does: with the classes wsdl2h and soapcpp2 make from the WSDL. README.md says
 * how to talk to it.
 */

#include <cstdio>
#include <cstring>
#include <deque>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "LicenseManagementServiceSoap.nsmap"
#include "soapLicenseManagementServiceSoapProxy.h"

using Fields = std::deque<std::string>;

static std::string quoted(const std::string &text)
{
    std::string out = "\"";
    for (unsigned char c : text) {
        char escaped[8];
        if (c == '"' || c == '\\')
            (out += '\\') += c;
        else if (c < ' ')
            out.append(escaped, snprintf(escaped, sizeof escaped, "\\u%04x", c));
        else
            out += c;
    }
    return out + "\"";
}

static std::string quoted(const std::string *text)
{
    return text ? quoted(*text) : "null";
}

static std::string quoted(struct soap *soap, const xsd__base64Binary *data)
{
    return data ? quoted(soap_s2base64(soap, data->__ptr, nullptr, data->__size)) : "null";
}

static std::string quoted(struct soap *soap, const time_t *time)
{
    return time ? quoted(soap_dateTime2s(soap, *time)) : "null";
}

/* The members of a request, in the order of the WSDL: each takes the next field. */
static void take(struct soap *, Fields &fields, std::string *&member)
{
    member = new std::string(fields.front()); /* for as long as the program runs */
    fields.pop_front();
}

static void take(struct soap *, Fields &fields, int &member)
{
    member = std::stoi(fields.front());
    fields.pop_front();
}

static void take(struct soap *, Fields &fields, bool &member)
{
    member = fields.front() == "true";
    fields.pop_front();
}

/* A value that is not in the WSDL goes out as a number: gSOAP lets it. */
static void take(struct soap *soap, Fields &fields, ns1__LicenseType &member)
{
    if (soap_s2ns1__LicenseType(soap, fields.front().c_str(), &member))
        member = static_cast<ns1__LicenseType>(99);
    fields.pop_front();
}

static std::string outcome(const ns1__WebServiceResult *result)
{
    return "\"result\":" + std::to_string(result->Result) + ",\"code\":" + quoted(result->Code) +
           ",\"message\":" + quoted(result->Message);
}

/* What a call that failed came to. */
static std::string failure(LicenseManagementServiceSoapProxy &proxy)
{
    if (proxy.soap_fault() && proxy.soap_fault_string())
        return "\"fault\":" + quoted(proxy.soap_fault_string()) +
               ",\"faultcode\":" + quoted(*soap_faultcode(proxy.soap));
    std::ostringstream error;
    proxy.soap_stream_fault(error);
    return "\"error\":" + quoted(error.str());
}

template <typename Items, typename Shown> static std::string list(const Items &items, Shown shown)
{
    std::string out;
    for (auto item : items)
        out += (out.empty() ? "{" : ",{") + shown(item) + "}";
    return "[" + out + "]";
}

static std::string call(LicenseManagementServiceSoapProxy &proxy, Fields given)
{
    struct soap *soap = proxy.soap;
    ns1__AuthHeader header;
    take(soap, given, header.UserName);
    take(soap, given, header.Password);
    proxy.soap_header(&header);
    const std::string operation = given.front();
    given.pop_front();

    if (operation == "AssignLicense") {
        ns1__AssignLicenseRequest request;
        take(soap, given, request.Username);
        take(soap, given, request.LicenseProviderEntityId);
        take(soap, given, request.LicenseType);
        _ns1__AssignLicense message;
        message.request = &request;
        _ns1__AssignLicenseResponse response;
        if (proxy.AssignLicense(&message, response) != SOAP_OK)
            return failure(proxy);
        return outcome(response.AssignLicenseResult->Result);
    }
    if (operation == "GetAssignedLicenseDetails") {
        ns1__GetAssignedLicenseDetailsRequest request;
        take(soap, given, request.Username);
        take(soap, given, request.LicenseType);
        _ns1__GetAssignedLicenseDetails message;
        message.request = &request;
        _ns1__GetAssignedLicenseDetailsResponse response;
        if (proxy.GetAssignedLicenseDetails(&message, response) != SOAP_OK)
            return failure(proxy);
        auto answer = response.GetAssignedLicenseDetailsResult;
        return outcome(answer->Result) + ",\"ProductKey\":" + quoted(answer->ProductKey) +
               ",\"LicenseData\":" + quoted(soap, answer->LicenseData);
    }
    if (operation == "GetAssignedLicensesSummary") {
        ns1__GetAssignedLicensesSummaryRequest request;
        take(soap, given, request.EntityId);
        take(soap, given, request.ChildAccountsOnly);
        _ns1__GetAssignedLicensesSummary message;
        message.request = &request;
        _ns1__GetAssignedLicensesSummaryResponse response;
        if (proxy.GetAssignedLicensesSummary(&message, response) != SOAP_OK)
            return failure(proxy);
        auto answer = response.GetAssignedLicensesSummaryResult;
        if (!answer->UsersLicenses)
            return outcome(answer->Result);
        auto users = list(answer->UsersLicenses->UserLicenseSummary, [soap](ns1__UserLicenseSummary *user) {
            return "\"Username\":" + quoted(user->Username) +
                   ",\"LicenseType\":" + quoted(soap_ns1__LicenseType2s(soap, user->LicenseType));
        });
        return outcome(answer->Result) + ",\"UsersLicenses\":{\"UserLicenseSummary\":" + users + "}";
    }
    if (operation == "UnassignLicense") {
        ns1__UnassignLicenseRequest request;
        take(soap, given, request.Username);
        take(soap, given, request.LicenseType);
        _ns1__UnassignLicense message;
        message.request = &request;
        _ns1__UnassignLicenseResponse response;
        if (proxy.UnassignLicense(&message, response) != SOAP_OK)
            return failure(proxy);
        return outcome(response.UnassignLicenseResult->Result);
    }
    if (operation == "TransferLicense") {
        ns1__TransferLicenseRequest request;
        take(soap, given, request.FromUsername);
        take(soap, given, request.ToUsername);
        take(soap, given, request.LicenseType);
        _ns1__TransferLicense message;
        message.request = &request;
        _ns1__TransferLicenseResponse response;
        if (proxy.TransferLicense(&message, response) != SOAP_OK)
            return failure(proxy);
        return outcome(response.TransferLicenseResult->Result);
    }
    if (operation == "GetLicensePools") {
        ns1__GetLicensePoolsRequest request;
        take(soap, given, request.EntityId);
        _ns1__GetLicensePools message;
        message.request = &request;
        _ns1__GetLicensePoolsResponse response;
        if (proxy.GetLicensePools(&message, response) != SOAP_OK)
            return failure(proxy);
        auto answer = response.GetLicensePoolsResult;
        if (!answer->Pools)
            return outcome(answer->Result);
        auto pools = list(answer->Pools->LicensePool, [soap](ns1__LicensePool *pool) {
            return "\"PoolId\":" + quoted(pool->PoolId) +
                   ",\"LicenseType\":" + quoted(soap_ns1__LicenseType2s(soap, pool->LicenseType)) +
                   ",\"SeatsTotal\":" + std::to_string(pool->SeatsTotal) +
                   ",\"SeatsInUse\":" + std::to_string(pool->SeatsInUse) +
                   ",\"SeatsFree\":" + std::to_string(pool->SeatsFree) +
                   ",\"SeatsInUseMax\":" + std::to_string(pool->SeatsInUseMax) +
                   ",\"StartsAt\":" + quoted(soap, pool->StartsAt) + ",\"ExpiresAt\":" + quoted(soap, pool->ExpiresAt);
        });
        return outcome(answer->Result) + ",\"Pools\":{\"LicensePool\":" + pools + "}";
    }
    if (operation == "AssignLicenses") {
        ns1__AssignLicensesRequest request;
        ns1__ArrayOfAssignLicensesItem items;
        request.Items = &items;
        while (given.size() > 1) {
            auto item = soap_new_ns1__AssignLicensesItem(soap);
            take(soap, given, item->Username);
            take(soap, given, item->LicenseProviderEntityId);
            take(soap, given, item->LicenseType);
            items.AssignLicensesItem.push_back(item);
        }
        take(soap, given, request.DryRun);
        _ns1__AssignLicenses message;
        message.request = &request;
        _ns1__AssignLicensesResponse response;
        if (proxy.AssignLicenses(&message, response) != SOAP_OK)
            return failure(proxy);
        auto answer = response.AssignLicensesResult;
        if (!answer->Results)
            return outcome(answer->Result);
        auto results = list(answer->Results->AssignLicensesItemResult, [](ns1__AssignLicensesItemResult *item) {
            return "\"Username\":" + quoted(item->Username) +
                   ",\"Result\":{\"Result\":" + std::to_string(item->Result->Result) +
                   ",\"Code\":" + quoted(item->Result->Code) + ",\"Message\":" + quoted(item->Result->Message) + "}";
        });
        return outcome(answer->Result) + ",\"Results\":{\"AssignLicensesItemResult\":" + results + "}";
    }
    return "\"error\":\"no such operation\"";
}

int main(int, char **argv)
{
    std::string url = argv[1], version = argv[2], line;
    url.erase(url.find('?'));
    // The proxy serves both bindings of the WSDL: which it speaks is the first of an envelope's namespaces.
    bool soap12 = strstr(namespaces[0].ns, "2003/05") != nullptr;
    if (soap12 != (version == "1.2")) {
        std::swap(namespaces[0].ns, namespaces[0].in);
        std::swap(namespaces[1].ns, namespaces[1].in);
    }
    LicenseManagementServiceSoapProxy proxy(url.c_str(), SOAP_C_UTFSTRING | SOAP_IO_KEEPALIVE);
    soap_set_namespaces(proxy.soap, namespaces);
    while (std::getline(std::cin, line)) {
        Fields given;
        std::istringstream fields(line);
        for (std::string field; std::getline(fields, field, '\t');)
            given.push_back(field);
        std::cout << "{" << call(proxy, given) << "}" << std::endl;
        proxy.destroy();
    }
}
